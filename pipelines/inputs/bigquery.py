"""Rows of a BigQuery table as the input of a batch job."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from pipelines.bigquery import PREFIX, Table, TableError, parse, table_columns
from pipelines.errors import UsageError
from pipelines.inputs.records import JSON_COLUMNS, to_json
from pipelines.inputs.rows import Line

if TYPE_CHECKING:
    import pyarrow


class BigQueryRows:
    """The rows of a table, `bigquery:PROJECT:DATASET.TABLE`. See `InputFormat`."""

    # BigQuery exports the rows of a table in any order.
    has_order = False
    needs_bucket = True

    def check(self, locations: Sequence[str]) -> None:
        """Raise UsageError unless it is one table that exists."""
        if len(locations) > 1:
            raise UsageError(f"--input must be one table, got {' '.join(locations)}")
        (location,) = locations
        try:
            _check_exists(table_columns(parse(location)))
        except (TableError, ValueError) as error:
            raise UsageError(f"--input {location}: {error}") from None

    def files(self, locations: Sequence[str]) -> Sequence[str]:
        """Return no files: a table is not one."""
        return ()

    def count(self, locations: Sequence[str], most: int | None = None) -> int | None:
        """Return None: the program does not query the table before the job starts."""
        return None

    def schema(self, locations: Sequence[str]) -> pyarrow.Schema:
        """Return the columns of the table, with the types that their values have in JSON."""
        return json_schema(table_columns(parse(locations[0])) or {})

    def head(self, locations: Sequence[str], count: int) -> list[Line]:
        """Return no rows: reading a table begins with its export."""
        return []

    def read(
        self, root: Any, locations: Sequence[str], columns: Sequence[str] | None = None
    ) -> Any:
        """Return the rows of the table, with all columns."""
        return root | "ReadTable" >> ReadTable(parse(locations[0]))


def json_schema(columns: Mapping[str, str]) -> pyarrow.Schema:
    """Return the types that the values of BigQuery's types have in JSON: dates are texts there."""
    import pyarrow

    from pipelines.tables.rows import json_field

    types = {"INTEGER": pyarrow.int64(), "FLOAT": pyarrow.float64(), "BOOLEAN": pyarrow.bool_()}
    return pyarrow.schema(
        json_field(name)
        if kind in ("RECORD", "STRUCT", "JSON") or name in JSON_COLUMNS
        else pyarrow.field(name, types.get(kind, pyarrow.string()))
        for name, kind in columns.items()
    )


class ReadTable(beam.PTransform):  # type: ignore[misc]
    """Read the rows of a table, as lines of JSON."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def expand(self, root: Any) -> Any:
        """Export the table to the job's temp_location, and read the export."""
        from apache_beam.io.gcp.bigquery import ReadFromBigQuery

        return (
            root
            | "Export" >> ReadFromBigQuery(table=str(self._table))
            | "ToLines" >> beam.Map(to_line, self._table)
        )


def to_line(row: Mapping[str, Any], table: Table) -> Line:
    """Return `row` as a line of JSON, with a default id that is a digest of its content."""
    text = to_json(row)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return Line(f"{PREFIX}{table}", f"{table.table}:{digest}", 0, text)


def _check_exists(columns: Mapping[str, str] | None) -> None:
    """Raise TableError if the table is missing, which has no columns."""
    if columns is None:
        raise TableError("the table does not exist; check its name")
