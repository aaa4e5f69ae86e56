"""Finds types for the columns of rows without a schema, such as JSON lines. Pure.

The problem: all files that all workers write must have the same columns, and a worker sees some of
the rows. A later row may have other columns, or values of other types.

The idea: the rows at the beginning of the input decide before the job starts. What does not fit
later is kept as JSON beside the columns (`Restored.rest`), so nothing is lost.

    true, false             boolean
    64-bit integers         int64
    other numbers           float64, if it holds each of them exactly
    texts, or only null     text
    all else, and mixtures  JSON in a text
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from pipelines.tables.rows import json_field
from transforms import exact_json

# A hostile input may have other columns in each row.
MOST_COLUMNS = 500
_EXACT = 1 << 53


def infer_schema(texts: Iterable[str]) -> pa.Schema:
    """Return the columns of rows with these JSON texts, in the order in which they appear."""
    kinds: dict[str, set[str]] = {}
    for text in texts:
        try:
            row = exact_json.loads(text)
        except (ValueError, RecursionError):
            continue
        for name, value in row.items() if isinstance(row, dict) else ():
            if name in kinds or len(kinds) < MOST_COLUMNS:
                kinds.setdefault(name, set()).add(_kind(value))
    return pa.schema([_field(name, found) for name, found in kinds.items()])


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if abs(value) <= _EXACT:
            return "int"
        return "int64" if -(1 << 63) <= value < 1 << 63 else "json"
    if value is None:
        return "null"
    return {float: "float", str: "string"}.get(type(value), "json")


def _field(name: str, kinds: set[str]) -> pa.Field:
    found = kinds - {"null"}
    if not found or found == {"string"}:
        return pa.field(name, pa.string())
    if found == {"bool"}:
        return pa.field(name, pa.bool_())
    if found <= {"int", "int64"}:
        return pa.field(name, pa.int64())
    if found <= {"int", "float"}:
        return pa.field(name, pa.float64())
    return json_field(name)
