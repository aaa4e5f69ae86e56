"""Leaves the columns in the `input` of completions that the user has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import apache_beam as beam

from transforms import exact_json
from transforms.elements import Completion, Delta

Row = TypeVar("Row", Completion, Delta)


class KeepColumns(beam.PTransform):  # type: ignore[misc]
    """Completions or deltas -> the same with these columns in `input`; None are all columns."""

    def __init__(self, columns: Sequence[str] | None, kind: type) -> None:
        super().__init__()
        self._columns = columns
        self._kind = kind

    def expand(self, rows: Any) -> Any:
        """Add a step only if there is something to leave out."""
        if self._columns is None:
            return rows
        keep = beam.Map(with_columns, self._columns).with_output_types(self._kind)
        return rows | "WithColumns" >> keep


def with_columns(row: Row, columns: Sequence[str]) -> Row:
    """Return `row` with only these columns in its `input`, in this order."""
    if row.input is None:
        return row
    given = exact_json.loads(row.input)
    if not isinstance(given, dict):
        return row
    kept = {name: given[name] for name in columns if name in given}
    return row._replace(input=exact_json.dumps(kept))
