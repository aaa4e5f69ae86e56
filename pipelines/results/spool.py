"""Keeps values by a key on the disk, for a join whose sides do not come in the same order."""

from __future__ import annotations

import sqlite3

from transforms.disks import sqlite_temporary_disk

# Bytes of values in memory before they move to the disk, and what one costs beside its bytes.
_MOST_BYTES, _EACH = 64 << 20, 300


class Spool:
    """Values by key. The newest ones are in memory, the others in a file without a name."""

    def __init__(self) -> None:
        self._newest: dict[str, bytes] = {}
        self._bytes = 0  # in memory
        self._in_file = 0
        # "" is a private database on disk that disappears with the connection.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def __len__(self) -> int:
        return len(self._newest) + self._in_file

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, in place of an earlier one."""
        earlier = self._newest.get(key)
        if earlier is not None:
            self._bytes -= len(earlier) + _EACH
        elif self._in_file:
            self._remove(key)
        self._newest[key] = value
        self._bytes += len(value) + _EACH
        if self._bytes >= _MOST_BYTES:
            self._move_to_file()

    def take(self, key: str) -> bytes | None:
        """Return a value and forget it; None if there is none."""
        value = self._newest.pop(key, None)
        if value is None:
            return self._remove(key) if self._in_file else None
        self._bytes -= len(value) + _EACH
        return value

    def _remove(self, key: str) -> bytes | None:
        at = _encoded(key)
        row = self._db.execute("SELECT value FROM kept WHERE key = ?", (at,)).fetchone()
        if row is None:
            return None
        self._db.execute("DELETE FROM kept WHERE key = ?", (at,))
        self._in_file -= 1
        return bytes(row[0])

    def _move_to_file(self) -> None:
        rows = sorted((_encoded(key), value) for key, value in self._newest.items())
        with sqlite_temporary_disk():
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO kept VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        self._in_file += len(self._newest)
        self._newest.clear()
        self._bytes = 0


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
