"""The index of a folder journal: the file of each row, and the lines that were fetched so far.

It is a private SQLite database on the local disk that disappears when it is closed, so a million
rows need no memory. A place, `file << 32 | row`, names a row. Later files have greater numbers, so
the newest row of a key has the greatest place. Hashes are 64 bits and may collide: callers compare
the keys.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from transforms.disks import DiskFull, sqlite_temporary_disk
from transforms.journal.base import JournalUnavailable
from transforms.journal.folder.format import ROW

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
CREATE TABLE rows (
    hash INTEGER, place INTEGER, request INTEGER, PRIMARY KEY (hash, place)
) WITHOUT ROWID;
CREATE TABLE lines (place INTEGER PRIMARY KEY, line BLOB NOT NULL);
"""
_FIND = """
SELECT rows.place, line FROM rows LEFT JOIN lines USING (place)
WHERE rows.{column} = ? ORDER BY rows.place DESC LIMIT 100
"""
# Created when equal requests are first looked up: many jobs never do that.
_EQUAL = "CREATE INDEX IF NOT EXISTS by_request ON rows (request)"
_BITS = 32  # the bits of a place for the row within its file


class Index:
    """Places of rows by their hashes, and the lines at these places."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)
        self._lock = threading.Lock()

    def add(self, files: Iterable[tuple[int, bytes]]) -> None:
        """Add the rows of files; each is a number and rows packed by ROW."""
        rows = _sorted(list(files))
        with self._lock:
            self._put("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", rows)

    def keep(self, number: int, lines: Sequence[bytes]) -> None:
        """Store the lines of file `number`, in the order of its rows."""
        placed = [(number << _BITS | position, line) for position, line in enumerate(lines)]
        with self._lock:
            self._put("INSERT OR REPLACE INTO lines VALUES (?, ?)", placed)

    def find(self, hash: int) -> list[tuple[int, bytes | None]]:
        """Return files that may have a key with `hash`, newest first, and their line if fetched."""
        return self._find("hash", hash)

    def find_equal(self, hash: int) -> list[tuple[int, bytes | None]]:
        """Return files that may have a request with `hash`, as `find` does."""
        with self._lock, _explained():
            self._db.execute(_EQUAL)
        return self._find("request", hash)

    def close(self) -> None:
        """Delete the database."""
        self._db.close()

    def _find(self, column: str, hash: int) -> list[tuple[int, bytes | None]]:
        with self._lock, _explained():
            found = self._db.execute(_FIND.format(column=column), (hash,)).fetchall()
        return [(place >> _BITS, line) for place, line in found]

    def _put(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        with _explained():
            self._db.execute("BEGIN")
            try:
                self._db.executemany(statement, rows)
            finally:
                if self._db.in_transaction:  # on a full disk SQLite has already ended it
                    self._db.execute("COMMIT")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a full disk into JournalUnavailable, which says where the index is."""
    try:
        with sqlite_temporary_disk():
            yield
    except DiskFull as error:
        raise JournalUnavailable(f"the journal's index: {error}") from error


def _sorted(files: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, int, int]]:
    """Return hash, place and request of each row, by hash: SQLite adds them twice as fast."""
    packed = np.frombuffer(b"".join(rows for _, rows in files), "<i8").reshape(-1, 2)
    places = [_places(number, len(rows) // ROW.size) for number, rows in files]
    columns = packed[:, 0], np.concatenate(places), packed[:, 1]
    order = np.argsort(packed[:, 0])
    return zip(*(column[order].tolist() for column in columns), strict=True)


def _places(number: int, rows: int) -> Any:
    return np.arange(rows, dtype=np.int64) + (number << _BITS)
