"""The types of a transform's elements: checked at its input, declared at its outputs.

Beam has two traps. A type hint for a transform with several outputs reaches none of them, so that
their elements become pickles that no table, SQL or other language can read. And annotations are
texts after `from __future__ import annotations`, so that Beam takes them for unknown types.

A third one is that Beam knows no column of a NamedTuple: `Select("id")` of a PCollection of them
has a column of unknown type, which Flink refuses. Beam knows the columns of its own row types, but
then a function of a user with the annotation `Completion` does not take them. So the outputs have
a row type that is equal to its NamedTuple (`ElementType`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Optional, get_type_hints

from apache_beam import coders
from apache_beam.pvalue import PCollection
from apache_beam.typehints import typehints
from apache_beam.typehints.decorators import TypeCheckError
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.typehints.row_type import (
    _BEAM_SCHEMA_ID,
    GeneratedClassRowTypeConstraint,
    RowTypeConstraint,
)

# Where to get such elements; parts of the errors about other elements.
HOW_TO_GET_PROMPTS = "transforms.ToPrompts makes prompts of texts, dicts and rows"
HOW_TO_GET_DELTAS = "transforms.StreamCompletions has them in its output .deltas"
HOW_TO_GET_RECORDS = "transforms.StreamRecords has them in its output .records"


class ElementType(RowTypeConstraint):  # type: ignore[misc]
    """The type of a PCollection of `element`, a NamedTuple: equal to it, with known columns."""

    def __init__(self, element: Any) -> None:
        row = RowTypeConstraint.from_user_type(element)
        super().__init__(row._fields, element)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RowTypeConstraint):
            other = other.user_type
        return bool(self.user_type is other)

    def __hash__(self) -> int:
        return hash(self.user_type)

    def __repr__(self) -> str:
        return repr(self.user_type)

    @property
    def __name__(self) -> str:
        return str(self.user_type.__name__)


class _ElementCoder(coders.RowCoder):  # type: ignore[misc]
    """Makes the coder of the NamedTuple; Beam's would decode rows of a class that it makes up."""

    @classmethod
    def from_type_hint(cls, hint: ElementType, registry: Any) -> Any:
        return coders.RowCoder.from_type_hint(hint.user_type, registry)


coders.registry.register_coder(ElementType, _ElementCoder)


def type_of(element: Any) -> Any:
    """Return the type of a PCollection of `element`, one of our rows or another type."""
    if isinstance(element, type) and _BEAM_SCHEMA_ID in vars(element):
        return ElementType(element)
    return convert_to_beam_type(element)


def with_types(outputs: Any, types: Mapping[str, Any]) -> Any:
    """Return `outputs`, of which each tag in `types` has elements of that type.

    This is not a hint: with `--runtime_type_check` Beam would compare the elements of all tags with
    the hint for the main output.
    """
    for tag, element in types.items():
        outputs[tag].element_type = type_of(element)
    return outputs


def check_input(elements: Any, wanted: type, transform: str, how: str) -> None:
    """Raise TypeCheckError unless `elements` may be of the type `wanted`, a NamedTuple.

    A row of another class will do if it has the columns of `wanted` that have no default. Elements
    of unknown type pass. The error names `transform`, and says `how` to get such elements.
    """
    if several := _several(elements):
        names = ", ".join(several)
        fitting = [name for name, each in several.items() if not _fault(each.element_type, wanted)]
        pass_on = f"pass on its output .{fitting[0]}" if fitting else how
        raise TypeCheckError(
            f"{transform} needs one PCollection, got one with the outputs {names}; {pass_on}"
        )
    given = getattr(elements, "element_type", type(elements))
    if given is PCollection:  # what Beam makes of the outputs of a ParDo
        raise TypeCheckError(
            f"{transform} needs one PCollection, got a step with several outputs; pass on one of"
            f" them; {how}"
        )
    if fault := _fault(given, wanted):
        raise TypeCheckError(f"{transform} needs {_described(wanted)}, got {fault}; {how}")


def _several(elements: Any) -> Mapping[str, Any]:
    """Return the outputs by name of a transform that has several; else nothing."""
    if isinstance(elements, Mapping):
        return elements
    if isinstance(elements, tuple):
        names = getattr(elements, "_fields", range(len(elements)))
        return {str(name): each for name, each in zip(names, elements, strict=True)}
    return {}


def _described(wanted: Any) -> str:
    needed = [name for name in wanted._fields if name not in wanted._field_defaults]
    return f"elements of type {wanted.__name__}, or rows with the columns {', '.join(needed)}"


def _fault(given: Any, wanted: Any) -> str:
    """Return what `given` is, if its elements cannot be used as `wanted`; else ""."""
    if given == wanted or given in _UNKNOWN or isinstance(given, typehints.TypeVariable):
        return ""
    if isinstance(given, typehints.UnionConstraint):
        faults = [_fault(each, wanted) for each in given.union_types]
        return faults[0] if all(faults) else ""
    columns = columns_of(given)
    if columns is None:
        return _name(given)
    hints = get_type_hints(wanted)
    for name in wanted._fields:
        if name in columns:
            if not _holds(columns[name], hints[name]):
                return f"a row whose column {name} is {_name(columns[name])}"
        elif name not in wanted._field_defaults:
            return f"a row with the columns {', '.join(columns)}"
    return ""


_UNKNOWN = (None, object, Any, typehints.Any)


def columns_of(row: Any) -> Mapping[str, Any] | None:
    """Return the types of the columns of a row; None for other types. Unknown types are Any."""
    if isinstance(row, RowTypeConstraint):
        if isinstance(row, GeneratedClassRowTypeConstraint):
            return dict(row._fields)
        row = row.user_type
    if dataclasses.is_dataclass(row):
        names = [field.name for field in dataclasses.fields(row)]
    elif hasattr(row, "_fields"):
        names = list(row._fields)
    else:
        return None
    try:
        hints = get_type_hints(row)
    except NameError:  # a type that only a type checker sees
        hints = {}
    return {name: hints.get(name, Any) for name in names}


def _holds(given: Any, wanted: Any) -> bool:
    """Return whether a column of type `given` may hold what one of type `wanted` needs.

    Only texts count. Numbers have many types, and all of them will do.
    """
    if wanted not in (str, Optional[str]):  # noqa: UP045
        return True
    given = typehints.normalize(given, none_as_type=True)
    if given is type(None):
        return bool(wanted is not str)
    fits = typehints.is_consistent_with
    return bool(fits(str, given) or fits(given, str))


def _name(kind: Any) -> str:
    """Return the name of a type as its users write it."""
    name = kind.__name__ if isinstance(kind, type) else re.sub(_CLASS, r"\1", str(kind))
    return name.removesuffix("64")  # Beam's int64 and float64


_CLASS = r"<class '(?:\w+\.)*(\w+)'>"
