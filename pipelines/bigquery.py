"""Tables of BigQuery as input and as output, and what must hold of them before a job starts."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import apache_beam as beam
import orjson

from pipelines.inputs.columns import STRUCTURED
from pipelines.inputs.rows import Line
from transforms.elements import Completion
from transforms.sinks.bigquery import columns_of, type_of

PREFIX = "bigquery:"
_NAME = re.compile(r"(?:bigquery:)?([^\s/]+)[:.](\w+)\.([\w-]+)")
# A table has no objects of any shape: these columns may hold theirs as JSON in a string.
_JSON_COLUMNS = STRUCTURED | {"body", "messages"}


class Table(NamedTuple):
    """The name of a table."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"


class TableError(Exception):
    """A table that cannot be used; the message is one line that says what to do."""


def parse(text: str) -> Table:
    """Return the table in `PROJECT:DATASET.TABLE`, with or without `bigquery:` before it.

    Raises ValueError for anything else.
    """
    match = _NAME.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no PROJECT:DATASET.TABLE")
    return Table(*match.groups())


# --- Input ---------------------------------------------------------------------------------------


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
    columns = _columns(table)
    if columns is None:
        raise TableError("there is no such table: look at its name")
    if not columns.keys() & {"prompt", "messages", "body"}:
        raise TableError(
            f"no column 'prompt', 'messages' or 'body'; it has {', '.join(columns)}: name one so,"
            " with a view for example"
        )


# --- Output --------------------------------------------------------------------------------------


def schema() -> dict[str, str]:
    """Return the columns that completions are written to, with their types."""
    return columns_of(Completion) | {"ended_at": "TIMESTAMP"}


class WriteTable(beam.PTransform):  # type: ignore[misc]
    """Write completions to a table, in place of what it held: all of them, or none."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def expand(self, completions: Any) -> Any:
        """Write files to the job's temp_location, and have BigQuery load them."""
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
    """Raise TableError if completions cannot be written to `table`, there or yet to be made."""
    there, ours = _columns(table), schema()
    if there is None or there == ours:
        return
    differences = [
        f"{name} is {there.get(name, 'missing')}, not {kind}"
        for name, kind in ours.items()
        if there.get(name) != kind
    ] or [f"{name} would be lost" for name in there.keys() - ours.keys()]
    raise TableError(
        f"the table has other columns ({', '.join(sorted(differences)[:3])}): name a table that is"
        " not there yet, or one that this program made"
    )


# --- What BigQuery says --------------------------------------------------------------------------


def _columns(table: Table) -> dict[str, str] | None:
    """Return the columns of `table` with their types, or None if only the dataset is there."""
    found = _asked(lambda client, name: client.get_table(name, retry=None, timeout=30), table)
    if found is not None:
        return {column.name: type_of(column) for column in found.schema}
    dataset = _asked(
        lambda client, _: client.get_dataset(table.dataset, retry=None, timeout=30), table
    )
    if dataset is None:
        name = f"{table.project}:{table.dataset}"
        raise TableError(f"there is no dataset {name}: make it first, `bq mk {name}`")
    return None


def _asked(question: Callable[[Any, str], Any], table: Table) -> Any:
    """Return the answer, or None if what was asked for is not there; raises TableError."""
    try:
        bigquery = importlib.import_module("google.cloud.bigquery")
    except ImportError:
        raise TableError("BigQuery needs Google's client: pip install 'apache-beam[gcp]'") from None
    not_found = importlib.import_module("google.api_core.exceptions").NotFound
    try:
        return question(bigquery.Client(project=table.project), ".".join(table))
    except not_found:
        return None
    except Exception as error:
        raise TableError(" ".join(str(error).split())[:300] or type(error).__name__) from None
