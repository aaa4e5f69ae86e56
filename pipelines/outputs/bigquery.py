"""Results of a job as rows of a BigQuery table."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import apache_beam as beam

from pipelines.bigquery import Table, TableError, table_columns
from transforms.elements import Completion
from transforms.sinks.bigquery import columns_of


def schema() -> dict[str, str]:
    """Return the columns that completions are written to, with their types."""
    return columns_of(Completion) | {"ended_at": "TIMESTAMP"}


class WriteTable(beam.PTransform):  # type: ignore[misc]
    """Replace the rows of a table by all completions; a failed job leaves the old rows."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def expand(self, completions: Any) -> Any:
        """Write files to the job's temp_location, then load them into the table."""
        from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery

        return (
            completions
            | "ToRows" >> beam.Map(to_row)
            | "Load"
            >> WriteToBigQuery(
                str(self._table),
                schema=",".join(f"{name}:{kind}" for name, kind in schema().items()),
                method=WriteToBigQuery.Method.FILE_LOADS,
                write_disposition=BigQueryDisposition.WRITE_TRUNCATE,
            )
        )


def to_row(completion: Completion) -> dict[str, Any]:
    """Return a completion as a row; `completion` and `input` are JSON in a string."""
    row = completion._asdict()
    if completion.ended_at is not None:
        row["ended_at"] = datetime.fromtimestamp(completion.ended_at, timezone.utc).isoformat()
    return row


def check_output(table: Table) -> None:
    """Raise TableError unless `table` fits completions or does not exist yet."""
    there, wanted = table_columns(table), schema()
    if there is None or there == wanted:
        return
    differences = [
        f"{name} is {there.get(name, 'missing')}, not {kind}"
        for name, kind in wanted.items()
        if there.get(name) != kind
    ] or [f"{name} would be lost" for name in there.keys() - wanted.keys()]
    raise TableError(
        f"the table has other columns ({', '.join(sorted(differences)[:3])}); choose a new table or"
        " one that this program created"
    )
