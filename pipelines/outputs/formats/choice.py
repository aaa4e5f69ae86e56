"""The formats of output by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.formats.jsonl import JsonLines

if TYPE_CHECKING:
    import pyarrow


def row_format(name: str, kind: type, schema: pyarrow.Schema | None, raw: bool) -> RowFormat:
    """Return the format `name` for rows of one kind, `Completion` or `DeadLetter`.

    `schema` has the columns of the input; `raw` is for CSV. Formats are imported when they are
    needed, because Arrow takes time.
    """
    if name == "jsonl":
        return JsonLines()
    if name == "batch":
        from pipelines.outputs.formats.batch import BatchLines

        return BatchLines()
    if schema is None:
        raise ValueError(f"the columns of the input must be known for {name}")
    if name == "csv":
        from pipelines.outputs.formats.csv import Csv

        return Csv(kind, schema.names, raw)
    from pipelines.outputs.formats.parquet import Parquet

    return Parquet(kind, schema)
