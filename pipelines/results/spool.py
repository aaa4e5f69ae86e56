"""Keeps values by a digest on the disk, for a join whose sides do not come in the same order."""

from __future__ import annotations

import sqlite3

from transforms.disks import sqlite_temporary_disk

# Bytes of values in memory before they move to the disk.
_MOST_BYTES = 64 << 20


class Spool:
    """Values by digest. The newest ones are in memory, the others in a file without a name."""

    def __init__(self) -> None:
        self._newest: dict[bytes, bytes] = {}
        self._bytes = 0  # of what was put since the last move
        self._in_file = 0
        # "" is a private database on disk that disappears with the connection.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE kept (digest BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def __len__(self) -> int:
        return len(self._newest) + self._in_file

    def put(self, digest: bytes, value: bytes) -> None:
        """Keep a value, in place of an earlier one."""
        if self._in_file and digest not in self._newest:
            self._remove(digest)
        self._newest[digest] = value
        self._bytes += len(value) + len(digest)
        if self._bytes >= _MOST_BYTES:
            self._move_to_file()

    def take(self, digest: bytes) -> bytes | None:
        """Return a value and forget it; None if there is none."""
        value = self._newest.pop(digest, None)
        return value if value is not None or not self._in_file else self._remove(digest)

    def _remove(self, digest: bytes) -> bytes | None:
        row = self._db.execute("SELECT value FROM kept WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            return None
        self._db.execute("DELETE FROM kept WHERE digest = ?", (digest,))
        self._in_file -= 1
        return bytes(row[0])

    def _move_to_file(self) -> None:
        with sqlite_temporary_disk():
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO kept VALUES (?, ?)", sorted(self._newest.items()))
            self._db.execute("COMMIT")
        self._in_file += len(self._newest)
        self._newest.clear()
        self._bytes = 0
