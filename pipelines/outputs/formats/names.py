"""The names of the formats of output, for a command line that has not imported them."""

from __future__ import annotations

NAMES = ("jsonl", "parquet", "csv", "batch")
# Their files have columns, which must be known before the job starts.
WITH_COLUMNS = frozenset(("parquet", "csv"))
