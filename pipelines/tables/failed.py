"""Files of failed rows as input again: the original rows, and what is known of them. Pure.

A file of failed rows has the columns of the input first and then ours (`outcomes.FAILED`). A table
whose last columns are exactly these is taken for one. Its rows get the form of failed rows in
JSON lines, with the original row under `input`:

    prompt, topic, id, error_type, ..., other_input
    --> {"id": ..., "error_type": ..., "message": ..., "input": {"prompt": ..., "topic": ...}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.tables.formulas import original
from pipelines.tables.outcomes import FAILED, RAW_REST, REST, cell_of, is_own
from transforms import exact_json

_KEPT = ("id", "error_type", "message")


class FailedLayout(NamedTuple):
    """Where the columns of a file of failed rows are: those of the input, then ours."""

    inputs: Sequence[str]
    ours: Sequence[str]

    def nested(self, row: Mapping[str, Any], rest: Any) -> dict[str, Any]:
        """Return a failed row with the original row under `input`; `rest` is what it lacks."""
        known = {column: row[name] for column, name in zip(FAILED, self.ours, strict=True)}
        given: Any = {name: row[name] for name in self.inputs}
        if isinstance(rest, dict):
            given |= rest
        elif rest is not None:
            given = rest
        return {**{column: known[column] for column in _KEPT}, "input": given}


def failed_layout(names: Sequence[str]) -> FailedLayout | None:
    """Return the layout of a file with these columns, None if they are not failed rows."""
    at = len(names) - len(FAILED)
    inputs, ours = names[: max(at, 0)], names[max(at, 0) :]
    if at < 0 or not all(map(is_own, ours, FAILED)):
        return None
    return FailedLayout(inputs, ours)


class FailedCells:
    """Failed rows in CSV, whose texts may have apostrophes before formulas."""

    def __init__(self, layout: FailedLayout, raw: bool) -> None:
        restored = _as_is if raw else original
        self._restored = restored
        self.inputs = [restored(name) for name in layout.inputs]
        self._layout = FailedLayout(self.inputs, [restored(name) for name in layout.ours])
        self._names = [*self.inputs, *self._layout.ours]

    def nested(self, cells: Sequence[str | None]) -> dict[str, Any]:
        """Return the failed row in a record. An edited cell counts, not the value that it had."""
        texts = [cell if cell is None else self._restored(cell) for cell in cells]
        row = dict(zip(self._names, texts, strict=True))
        rest = _loads(texts[-1])
        if isinstance(rest, dict):
            rest = {
                name: value if name not in row or row[name] == cell_of(value) else row[name]
                for name, value in rest.items()
            }
        return self._layout.nested(row, rest)


def failed_cells(names: Sequence[str]) -> FailedCells | None:
    """Return the form of a CSV file with this header, None if it does not have failed rows."""
    if not names:
        return None
    raw = names[-1].endswith(RAW_REST)
    last = names[-1].removesuffix(RAW_REST) + REST if raw else names[-1]
    layout = failed_layout([*names[:-1], last])
    return None if layout is None else FailedCells(layout, raw)


def _as_is(text: str) -> str:
    return text


def _loads(text: str | None) -> Any:
    try:
        return None if text is None else exact_json.loads(text)
    except (ValueError, RecursionError):
        return text
