"""The table of completions in one SQLite file.

Each row has a seal, a checksum of its other columns, because SQLite has none: it would return a
value with a flipped bit. The table has a rowid, so its rows are in leaf pages, which `salvage` can
read without the index.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from urllib.parse import quote

from transforms.journal.base import Record, Spent
from transforms.journal.key import JournalKey

PAGE_SIZE = 4096
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS completions (
    id TEXT NOT NULL, request BLOB NOT NULL, tokens INTEGER, usd REAL, value BLOB NOT NULL,
    seal INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS by_id ON completions (id, request);
CREATE TABLE IF NOT EXISTS spent (tokens INTEGER NOT NULL, usd REAL NOT NULL);
INSERT INTO spent SELECT 0, 0.0 WHERE NOT EXISTS (SELECT * FROM spent);
COMMIT;
"""
# Costs 0.03 ms per row, because hashes arrive in random order. So it is created on the first lookup
# of an equal request.
_EQUAL = "CREATE INDEX IF NOT EXISTS by_request ON completions (request)"
_OPTIONAL = {"by_request"}
_Row = tuple[str, bytes, int, float, bytes, int]  # as in the schema
_INSERT = "INSERT OR REPLACE INTO completions VALUES (?, ?, ?, ?, ?, ?)"
_POUR = "INSERT OR IGNORE INTO other.completions SELECT * FROM main.completions"
_POUR_SPENT = """
UPDATE other.spent SET (tokens, usd) = (
    SELECT max(mine.tokens, other.spent.tokens), max(mine.usd, other.spent.usd)
    FROM main.spent AS mine
)
"""
# A salvaged file may have several images of a row: each row counts once.
_RECOUNT = """
UPDATE spent SET (tokens, usd) = (
    SELECT CAST(total(tokens) AS INTEGER), total(usd) FROM completions
)
"""
_RAISE = "UPDATE spent SET tokens = max(tokens, ?), usd = max(usd, ?)"
_SPEND = "UPDATE spent SET tokens = tokens + ?, usd = usd + ?"


class Table:
    """Rows as they are stored; raises sqlite3.Error.

    Readers and the writer have one connection each, so lookups do not wait for a commit. `alone`
    excludes other processes: SQLite then needs no shared memory, which is a file that others could
    cut off, and that ends the process.
    """

    def __init__(self, path: str, *, alone: bool = False) -> None:
        self._writer, self._writing = _connect(path, alone), threading.Lock()
        self._finds_equal = False
        _set_up(self._writer)
        self._reader, self._reading = _connect(path, alone), threading.Lock()
        self.spent()  # opens the files now: later others may have deleted them

    def put(self, records: Iterable[Record]) -> None:
        """Store `records` and their cost, all or nothing."""
        records = list(records)
        rows = [_row(record.key, record) for record in records if record.key is not None]
        spent = sum((record.spent for record in records), Spent())
        with self._writing, _transaction(self._writer):
            self._writer.executemany(_INSERT, rows)
            self._writer.execute(_SPEND, (spent.tokens, spent.usd))

    def get(self, key: JournalKey) -> bytes | None:
        """Return the value under `key`; raises ValueError if it is damaged."""
        wanted = key.id, bytes.fromhex(key.request)
        row = self._first("SELECT * FROM completions WHERE id = ? AND request = ?", *wanted)
        return None if row is None else _value(row, wanted == row[:2])

    def get_equal(self, request: str) -> bytes | None:
        """Return a value for `request` under any id; raises ValueError if it is damaged."""
        if not self._finds_equal:
            with self._writing:
                self._writer.execute(_EQUAL)
            self._finds_equal = True
        wanted = bytes.fromhex(request)
        row = self._first("SELECT * FROM completions WHERE request = ? LIMIT 1", wanted)
        return None if row is None else _value(row, wanted == row[1])

    def spent(self) -> Spent:
        """Return the total."""
        with self._reading:
            return Spent(*self._reader.execute("SELECT tokens, usd FROM spent").fetchone())

    def recount(self) -> None:
        """Set the total to the cost of all rows."""
        with self._writing, _transaction(self._writer):
            self._writer.execute(_RECOUNT)

    def raise_to(self, spent: Spent) -> None:
        """Set the total to `spent` if it is less."""
        with self._writing, _transaction(self._writer):
            self._writer.execute(_RAISE, (spent.tokens, spent.usd))

    def count(self) -> int:
        """Return the number of rows."""
        with self._reading:
            return int(self._reader.execute("SELECT count(*) FROM completions").fetchone()[0])

    def pour(self, path: str) -> None:
        """Add all rows to the journal at `path`, except those that it has."""
        with self._writing:
            self._writer.execute("ATTACH ? AS other", (path,))
            try:
                with _transaction(self._writer):
                    self._writer.execute(_POUR)
                    self._writer.execute(_POUR_SPENT)
            finally:
                self._writer.execute("DETACH other")

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._writer.close()

    def _first(self, query: str, *values: bytes | str) -> _Row | None:
        with self._reading:
            row: _Row | None = self._reader.execute(query, values).fetchone()
        return row


def _value(row: _Row, matches: bool) -> bytes:
    """Return the value; a damaged index can lead to a sound row with another key."""
    if not matches or not is_sealed(row):
        raise ValueError("the row is damaged")
    return row[4]


def is_sound(path: str) -> bool:
    """Return whether the file at `path` is a sound database; writes no rows to it.

    Compares the index with all rows: 2 s for a million. Raises sqlite3.Error for other causes than
    damage, and ValueError for the database of another program.
    """
    if not _has_sound_header(path):
        return False
    with closing(_connect(path)) as db:
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        has = _definitions(db)
    if found == "ok" and has and not has.keys() & _expected().keys():
        raise ValueError("the database of another program")
    return bool(found == "ok") and has in ({}, _expected())


def _definitions(db: sqlite3.Connection) -> dict[str, str]:
    """Return the statement that created each table and index, except the optional ones."""
    has = dict(db.execute("SELECT name, sql FROM sqlite_master"))
    return {name: sql for name, sql in has.items() if name not in _OPTIONAL}


@cache
def _expected() -> dict[str, str]:
    """Return the definitions of a new file: a damaged schema may be valid, with a column less."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_SCHEMA)
        return _definitions(db)


def _has_sound_header(path: str) -> bool:
    """Return False for damage that SQLite mistakes for something else."""
    with open(path, "rb") as file:
        begin = file.read(PAGE_SIZE)
    versions = begin[18:20]  # SQLite opens a file with unknown ones as read-only
    # SQLite takes a file shorter than a page for a new one, and deletes its write-ahead log.
    if not begin:
        return not has_log(path)
    return len(begin) == PAGE_SIZE and versions in (b"\1\1", b"\2\2")


def has_log(path: str) -> bool:
    """Return whether the write-ahead log of the database at `path` has content."""
    log = f"{path}-wal"
    return os.path.exists(log) and os.path.getsize(log) > 0


def is_sealed(row: _Row) -> bool:
    """Return whether every column of `row` is what was written."""
    try:
        return row[-1] == _seal(*row[:-1])
    except TypeError:  # a damaged type
        return False


def _connect(path: str, alone: bool = False) -> sqlite3.Connection:
    # The locks of Table replace check_same_thread. The timeout outlasts the writes of the run's
    # other processes.
    name = f"file:{quote(os.path.abspath(path))}?vfs=unix-excl" if alone and _IS_UNIX else path
    connection = sqlite3.connect(
        name, isolation_level=None, check_same_thread=False, timeout=60, uri=name != path
    )
    # A file that is cut off while it is mapped would end the process.
    connection.execute("PRAGMA mmap_size = 0")
    return connection


_IS_UNIX = os.name == "posix"


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: an acknowledged row survives a power cut; with NORMAL it survives only a kill.
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_SCHEMA)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite has already ended it
            connection.execute("ROLLBACK")
        raise


def _row(key: JournalKey, record: Record) -> _Row:
    tokens, usd = int(record.spent.tokens), float(record.spent.usd)
    unsealed = key.id, bytes.fromhex(key.request), tokens, usd, record.value
    return (*unsealed, _seal(*unsealed))


def _seal(id: str, request: bytes, tokens: int, usd: float, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(f"{id} {tokens} {usd!r} ".encode() + request))
