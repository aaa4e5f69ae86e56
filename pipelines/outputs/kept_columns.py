"""Leaves the columns in the `input` of completions that the user has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import apache_beam as beam

from transforms import exact_json
from transforms.elements import Completion, Delta

Row = TypeVar("Row", Completion, Delta)


def keep_columns(rows: Any, columns: Sequence[str] | None, kind: type) -> Any:
    """Return completions or deltas with these columns in `input`; None are all columns."""
    if columns is None:
        return rows
    keep = beam.Map(with_columns, columns).with_output_types(kind)
    return rows | f"KeepColumnsOf{kind.__name__}" >> keep


def with_columns(row: Row, columns: Sequence[str]) -> Row:
    """Return `row` with only these columns in its `input`, in this order."""
    if row.input is None:
        return row
    given = exact_json.loads(row.input)
    if not isinstance(given, dict):
        return row
    kept = {name: given[name] for name in columns if name in given}
    return row._replace(input=exact_json.dumps(kept))
