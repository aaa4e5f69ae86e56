"""Columns in the names of folders: rows of `year=2024/part.parquet` have the column `year`. Pure.

Hive, Spark, pandas, polars and DuckDB write tables so, without the column in the files. The name of
a folder has no type, so the value is a text. A column of the file itself takes precedence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson

from pipelines.inputs.rows import Line

if TYPE_CHECKING:
    import pyarrow

# The formats of tables. JSON lines have all columns in each line.
FORMATS = frozenset({"arrow", "csv", "parquet", "tsv"})
_NULL = "__HIVE_DEFAULT_PARTITION__"


def partitions(path: str) -> dict[str, str | None]:
    """Return the columns that the folders of `path` name, with their values."""
    folders = path.split("/")[:-1]
    pairs = (folder.partition("=") for folder in folders if "=" in folder[1:])
    return {unquote(name): None if value == _NULL else unquote(value) for name, _, value in pairs}


def with_partitions(
    lines: Iterable[Line], values: Mapping[str, str | None], columns: Collection[str] | None
) -> Iterator[Line]:
    """Yield the lines of a file with these values before their own columns.

    `columns` are the ones that are needed, None for all. If a row has the column too, its JSON has
    the name twice, and every reader takes the second value.
    """
    kept = {name: value for name, value in values.items() if columns is None or name in columns}
    if not kept:
        yield from lines
        return
    start = orjson.dumps(kept).decode()[:-1]
    for line in lines:
        if line.fault or not line.text.startswith("{"):
            yield line
        else:
            own = line.text[1:]
            yield line._replace(text=start + ("" if own == "}" else ",") + own)


def with_columns(schema: pyarrow.Schema, values: Mapping[str, str | None]) -> pyarrow.Schema:
    """Return `schema` with the columns that the names of folders add to it."""
    import pyarrow

    new = [pyarrow.field(name, pyarrow.string()) for name in values if name not in schema.names]
    return pyarrow.schema([*schema, *new], metadata=schema.metadata)
