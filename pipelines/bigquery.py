"""Names of BigQuery tables, and a look at their columns before a job starts."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

PREFIX = "bigquery:"
_NAME = re.compile(r"(?:bigquery:)?([^\s/]+)[:.](\w+)\.([\w-]+)")


class Table(NamedTuple):
    """The name of a table."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"


class TableError(Exception):
    """A table cannot be used; the message is one line with the remedy."""


def parse(text: str) -> Table:
    """Return the table in `PROJECT:DATASET.TABLE`, with or without `bigquery:` before it.

    Raises ValueError for anything else.
    """
    match = _NAME.fullmatch(text)
    if not match:
        raise ValueError(f"expected PROJECT:DATASET.TABLE, got {text!r}")
    return Table(*match.groups())


def table_columns(table: Table) -> dict[str, str] | None:
    """Return the types of the columns of `table`, or None if only its dataset exists."""
    from transforms.sinks.bigquery import type_of

    found = _call(lambda client, name: client.get_table(name, retry=None, timeout=30), table)
    if found is not None:
        return {column.name: type_of(column) for column in found.schema}
    dataset = _call(
        lambda client, _: client.get_dataset(table.dataset, retry=None, timeout=30), table
    )
    if dataset is None:
        name = f"{table.project}:{table.dataset}"
        raise TableError(f"the dataset {name} does not exist; create it with `bq mk {name}`")
    return None


def _call(call: Callable[[Any, str], Any], table: Table) -> Any:
    """Return what `call` returns, or None if the table or dataset does not exist.

    Raises TableError.
    """
    try:
        bigquery = importlib.import_module("google.cloud.bigquery")
    except ImportError:
        raise TableError("BigQuery needs Google's client: pip install 'apache-beam[gcp]'") from None
    not_found = importlib.import_module("google.api_core.exceptions").NotFound
    try:
        return call(bigquery.Client(project=table.project), ".".join(table))
    except not_found:
        return None
    except Exception as error:
        raise TableError(" ".join(str(error).split())[:300] or type(error).__name__) from None
