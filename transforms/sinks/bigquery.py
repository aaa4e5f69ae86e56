"""Streams completions and dead letters into a BigQuery table as rows."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from transforms.elements import Completion, DeadLetter
from transforms.sinks.base import SinkMissing, SinkUnavailable

_TYPES = {str: "STRING", int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
_STANDARD_SQL = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
# Column types that accept a value besides its own type.
_WIDER = {
    "STRING": {"JSON"},
    "INTEGER": {"FLOAT", "NUMERIC", "BIGNUMERIC"},
    "FLOAT": {"NUMERIC", "BIGNUMERIC", "TIMESTAMP"},
}


@dataclass(frozen=True)
class BigQueryTable:
    """Makes the publisher for the table `project.dataset.table`, on the worker.

    The table has columns of `element`, `Completion` or `DeadLetter`; values without a column are
    left out. BigQuery drops rows with the same id that are inserted again within about a minute.
    """

    table: str
    element: type = Completion

    def __call__(self) -> _BigQueryPublisher:
        """Return the publisher."""
        return _BigQueryPublisher(self.table, self.element)


def columns_of(element: type) -> dict[str, str]:
    """Return the columns of an element's rows, with BigQuery's names for their types."""
    columns = {}
    for name, hint in get_type_hints(element).items():
        kind = next(t for t in getattr(hint, "__args__", (hint,)) if t is not type(None))
        columns[name] = _TYPES[kind]
    return columns


def type_of(field: Any) -> str:
    """Return the type of a column; BigQuery's API has two names for some types."""
    named: str = field.field_type
    return _STANDARD_SQL.get(named, named)


def misfits(schema: Iterable[Any], element: type) -> list[str]:
    """Return the reasons why a table of this schema does not accept rows of `element`."""
    wanted, there = columns_of(element), {field.name: field for field in schema}
    found = [] if "id" in there else ["it has no column id"]
    for name, field in there.items():
        if name not in wanted:
            found += [f"{name} must not be null"] if field.mode == "REQUIRED" else []
        elif type_of(field) not in {wanted[name], *_WIDER.get(wanted[name], ())}:
            found.append(f"{name} is {type_of(field)}, not {wanted[name]}")
    return found


class _BigQueryPublisher:
    def __init__(self, table: str, element: type) -> None:
        self._table, self._element = table, element
        self._api: Any = importlib.import_module("google.api_core.exceptions")
        self._auth: Any = importlib.import_module("google.auth.exceptions")
        try:
            self._client = client().Client(project=table.split(".")[0])
        except self._auth.GoogleAuthError as error:
            raise SinkUnavailable(f"BigQuery: {_line(error)}") from error

    def check(self) -> None:
        """Raise SinkUnavailable unless BigQuery responds, SinkMissing without a table that fits."""
        try:
            found = self._client.get_table(self._table, timeout=10, retry=None)
        except self._api.NotFound:
            raise SinkMissing(
                f"BigQuery: the table {self._table} does not exist; create it first"
            ) from None
        except (self._api.GoogleAPIError, self._auth.GoogleAuthError) as error:
            raise SinkUnavailable(f"BigQuery: {_line(error)}") from error

        if wrong := misfits(found.schema, self._element):
            kind = self._element.__name__
            raise SinkMissing(
                f"BigQuery: {self._table} does not accept rows of {kind} ({', '.join(wrong[:3])});"
                f" name a table with the columns of {kind}"
            )

    def publish(self, batch: Sequence[Completion | DeadLetter]) -> None:
        """Insert `batch`; raises ValueError if BigQuery refuses a row."""
        rows = [element._asdict() for element in batch]
        ids = [element.id for element in batch]
        try:
            refused = self._client.insert_rows_json(
                self._table, rows, row_ids=ids, ignore_unknown_values=True
            )
        except (self._api.GoogleAPIError, self._auth.GoogleAuthError) as error:
            raise SinkUnavailable(f"BigQuery: {_line(error)}") from error
        if refused:
            first = refused[0]
            id = ids[first["index"]]
            raise ValueError(f"{self._table} refuses the row of {id!r}: {first['errors']}")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def client() -> Any:
    """Return the client library; raises ImportError that says how to get it."""
    try:
        return importlib.import_module("google.cloud.bigquery")
    except ImportError:
        raise ImportError(
            "BigQuery needs Google's clients: pip install 'ritellm-beam[gcp]'"
        ) from None
