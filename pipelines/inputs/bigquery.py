"""Rows of a BigQuery table as the input of a batch job."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import orjson

from pipelines.bigquery import PREFIX, Table, TableError, table_columns
from pipelines.inputs.columns import STRUCTURED
from pipelines.inputs.rows import Line

# A table has no objects of any shape: these columns may hold theirs as JSON in a string.
_JSON_COLUMNS = STRUCTURED | {"body", "messages"}


class ReadTable(beam.PTransform):  # type: ignore[misc]
    """Read the rows of a table, as lines of JSON."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def expand(self, root: Any) -> Any:
        """Export the table to the job's temp_location, and read that."""
        from apache_beam.io.gcp.bigquery import ReadFromBigQuery

        return (
            root
            | "Export" >> ReadFromBigQuery(table=str(self._table))
            | "ToLines" >> beam.Map(to_line, self._table)
        )


def to_line(row: Mapping[str, Any], table: Table) -> Line:
    """Return `row` as a line of JSON. What it is called by default follows from what it holds."""
    given = {name: _value(name, value) for name, value in row.items() if value is not None}
    text = orjson.dumps(given, default=str, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(text, digest_size=8).hexdigest()
    return Line(f"{PREFIX}{table}", f"{table.table}:{digest}", 0, text.decode())


def _value(name: str, value: Any) -> Any:
    if name in _JSON_COLUMNS and isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def check_input(table: Table) -> None:
    """Raise TableError unless `table` is there and its rows can be asked."""
    columns = table_columns(table)
    if columns is None:
        raise TableError("there is no such table: look at its name")
    if not columns.keys() & {"prompt", "messages", "body"}:
        raise TableError(
            f"no column 'prompt', 'messages' or 'body'; it has {', '.join(columns)}: name one so,"
            " with a view for example"
        )
