"""Rows of whatever a program has: lists, generators, data frames and tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_LIST = "rows must be an iterable of texts or dicts"


def rows_in(given: Any) -> Iterator[Any]:
    """Return the rows of an iterable, or of a table of pandas, polars or pyarrow, one by one.

    Raises TypeError for a single row.
    """
    if isinstance(given, (str, bytes, Mapping)):
        raise TypeError(f"{_LIST}, got one {type(given).__name__}; put it in a list")
    for method, read in _TABLES.items():
        if callable(getattr(given, method, None)):
            return read(given)
    if not isinstance(given, Iterable):
        raise TypeError(f"{_LIST}, got {type(given).__name__}")
    return iter(given)


def count_of(given: Any) -> int | None:
    """Return how many rows there are, None if that is not known before they are read."""
    try:
        return len(given)
    except (TypeError, ValueError, OverflowError):
        return None


def _pandas(frame: Any) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in frame.columns]
    for values in frame.itertuples(index=False, name=None):
        yield dict(zip(names, values, strict=True))


def _polars(frame: Any) -> Iterator[dict[str, Any]]:
    yield from frame.iter_rows(named=True)


def _arrow(table: Any) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1_000):
        yield from batch.to_pylist()


# The method that only tables of this kind have.
_TABLES = {"itertuples": _pandas, "iter_rows": _polars, "to_batches": _arrow}
