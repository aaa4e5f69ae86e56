"""The columns of checked answers in Beam YAML: rows that have a column for each property.

The rows are those of `Completion`, with the properties of the schema before them, each with the
type of the schema; a property without one type is JSON text. `other_answer` is the JSON of
properties that the schema does not name, and of values that do not fit their column.
"""

# No `from __future__ import annotations`: Beam reads annotations as types, and not `str | None`.
# ruff: noqa: UP045
import json
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any, Optional, get_type_hints

import apache_beam as beam
from apache_beam.typehints import typehints
from apache_beam.typehints.row_type import RowTypeConstraint

from ritellm import Answer
from ritellm.answers.shapes import ListOf, Scalar, Shape, shapes_of
from ritellm.errors import ABOUT_VALUES
from transforms import exact_json
from transforms.elements import Completion, answer_facts

_SIMPLE = {"string": str, "integer": int, "number": float, "boolean": bool}
_FACTS = {
    "reasks": Optional[int],
    "answer_mode": Optional[str],
    "answer_stripped": Optional[bool],
    "other_answer": Optional[str],
}
_LARGEST = 1 << 63


class AnswerRows(beam.PTransform):  # type: ignore[misc]
    """`Completion -> row` with the columns of `answer`; raises ValueError for their names."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._shapes = shapes_of(json.loads(answer.json), answer.properties)
        for name in self._shapes:
            _check_name(name)

    def expand(self, completions: Any) -> Any:
        """Put the properties of each answer into columns."""
        columns: list[tuple[str, Any]] = [
            (name, Optional[str] if shape is None else _type(shape))
            for name, shape in self._shapes.items()
        ]
        columns += _FACTS.items()
        columns += get_type_hints(Completion).items()
        kind = RowTypeConstraint.from_fields(columns)
        return completions | beam.Map(to_row, self._shapes).with_output_types(kind)


def to_row(row: Completion, shapes: Mapping[str, Shape | None]) -> Any:
    """Return the row of a completion whose answer has been checked."""
    facts = answer_facts(row.completion) or {}
    answer = exact_json.loads(facts.get("text") or "{}")
    columns, other = dict.fromkeys(shapes, None), {}
    for name, value in answer.items():
        try:
            columns[name] = _column(shapes[name], value)
        except ABOUT_VALUES:  # no such column, or it does not fit
            other[name] = value
    return beam.Row(
        **columns,
        reasks=facts.get("reasks"),
        answer_mode=facts.get("mode"),
        answer_stripped=facts.get("stripped"),
        other_answer=exact_json.dumps(other) if other else None,
        **row._asdict(),
    )


def _check_name(name: str) -> None:
    if name in _FACTS or name in Completion._fields:
        raise ValueError(
            f"the property {name!r} of the answer has the name of a column of each row; rename it"
        )
    if not _is_name(name):
        raise ValueError(
            f"the property {name!r} of the answer cannot be a column of Beam, whose names have"
            " letters, digits and _ and do not begin with _ or a digit; rename it"
        )


def _is_name(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and not name.startswith("_")


def _type(shape: Shape) -> Any:
    return typehints.Optional[_inner_type(shape)]


def _inner_type(shape: Shape) -> Any:
    if isinstance(shape, Scalar):
        return _SIMPLE[shape.kind]
    if isinstance(shape, ListOf):
        return typehints.Sequence[_type(shape.element)]
    if not all(map(_is_name, shape.fields)):
        return str
    return RowTypeConstraint.from_fields([(n, _type(part)) for n, part in shape.fields.items()])


def _column(shape: Optional[Shape], value: Any) -> Any:
    """Return `value` as Beam encodes it; raises ValueError if it does not fit."""
    if value is None:
        return None
    if shape is None:
        return exact_json.dumps(value)
    if isinstance(shape, Scalar):
        return _scalar(shape.kind, value)
    if isinstance(shape, ListOf):
        return [_column(shape.element, each) for each in value]
    if not all(map(_is_name, shape.fields)):
        return exact_json.dumps(value)
    if value.keys() - shape.fields.keys():
        raise ValueError("a property that the schema does not name")
    return beam.Row(**{n: _column(part, value.get(n)) for n, part in shape.fields.items()})


def _scalar(kind: str, value: Any) -> Any:
    """Return a valid value; JSON Schema takes 2.0 for an integer and 2 for a number."""
    if kind == "integer":
        whole = int(value)
        if not -_LARGEST <= whole < _LARGEST:
            raise ValueError("an integer beyond 64 bits")
        return whole
    return float(value) if kind == "number" else value
