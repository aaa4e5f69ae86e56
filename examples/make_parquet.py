"""Writes questions.parquet: questions with a topic, a date and an exact price each.

python examples/make_parquet.py questions.parquet
"""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal

import pyarrow
import pyarrow.parquet

ROWS = [
    {"id": 1, "question": "Why is the sky blue?", "topic": "physics"},
    {"id": 2, "question": "Who wrote Hamlet?", "topic": "literature"},
    {"id": 2**60, "question": "What is a monoid?", "topic": None},
]


def table() -> pyarrow.Table:
    """Return the rows with the types of their columns."""
    rows = [{**row, "asked": date(2026, 1, 31), "price": Decimal("0.10")} for row in ROWS]
    fields = {
        "id": pyarrow.int64(),
        "question": pyarrow.string(),
        "topic": pyarrow.string(),
        "asked": pyarrow.date32(),
        "price": pyarrow.decimal128(9, 2),
    }
    return pyarrow.Table.from_pylist(rows, pyarrow.schema(fields))


if __name__ == "__main__":
    pyarrow.parquet.write_table(table(), sys.argv[1], compression="zstd")
