"""Completions and dead letters as rows of a BigQuery table, a moment after they are there."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transforms.elements import Completion, DeadLetter
from transforms.outgoing import SinkUnavailable


@dataclass(frozen=True)
class BigQueryTable:
    """Makes the publisher for the table `project.dataset.table`, on the worker.

    The table has the columns of `Completion` or of `DeadLetter` (those that it has not are left
    out). Rows that come again within a minute or so are dropped by BigQuery, by their id.
    """

    table: str

    def __call__(self) -> _BigQueryPublisher:
        """Return the publisher."""
        return _BigQueryPublisher(self.table)


class _BigQueryPublisher:
    def __init__(self, table: str) -> None:
        self._table = table
        self._api: Any = importlib.import_module("google.api_core.exceptions")
        self._auth: Any = importlib.import_module("google.auth.exceptions")
        try:
            self._client = client().Client(project=table.split(".")[0])
        except self._auth.GoogleAuthError as error:
            raise SinkUnavailable(f"BigQuery: {_line(error)}") from error

    def check(self) -> None:
        """Raise SinkUnavailable unless the table is there."""
        try:
            self._client.get_table(self._table, timeout=10, retry=None)
        except (self._api.GoogleAPIError, self._auth.GoogleAuthError) as error:
            raise SinkUnavailable(f"BigQuery: {_line(error)}") from error

    def publish(self, lot: Sequence[Completion | DeadLetter]) -> None:
        """Insert `lot`; raises ValueError if BigQuery refuses a row."""
        rows = [element._asdict() for element in lot]
        ids = [element.id for element in lot]
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
        """Let go of the connection."""
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
