"""Remembers the ids of all rows in one process, to find duplicates.

The problem: a job may have a billion rows, and a Python set of their ids would need 100 GB. A
database statement for each row would cost more than the row itself.

The idea: digests of ids, in two levels.

    claim(id) --> newest (dict, 40,000 digests) --full--> SQLite file (sorted, one transaction)
                                                 +----> bit array (4 MB): a bit for each digest

Most ids are new. Their bit is usually unset, and the file is not read at all.

Invariants:
- A digest is in `_newest` or in the file; an entry in `_newest` is the current one.
- Each digest in the file has its bit set. A set bit may also be a collision, which costs a read.
- The file has no name and is never synced. It disappears with the connection.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading

from transforms.disks import sqlite_temporary_disk

# Digests in memory before a transaction moves them to disk.
_MOST_IN_MEMORY = 40_000

# Bits of the array. A larger one would have fewer collisions beyond 10 million ids.
_BITS = 1 << 25


class SeenIds:
    """The claimed ids, and the number of rows for each content. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[bytes, str] = {}
        self._has_any = False
        self._older = bytearray(_BITS >> 3)
        # "" is a private database on disk that disappears with the connection.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def claim(self, id: str, location: str, content: str | None = None) -> int:
        """Return the number of the row at `location` among rows of equal `content`, from 1.

        Returns 0 if a row at another location has claimed the `id`. A retried bundle may claim the
        id of the same location again, and gets the same number.
        """
        digest = _digest(id, b"id")
        with self._lock:
            if (known := self._get(digest)) is not None:
                number, _, owner = known.partition(" ")
                return int(number) if owner == location else 0
            number_now = 1 if content is None else self._count(_digest(content, b"content"))
            self._put(digest, f"{number_now} {location}")
            return number_now

    def __contains__(self, id: str) -> bool:
        """Return whether a row has claimed `id`."""
        with self._lock:
            return self._has_any and self._get(_digest(id, b"id")) is not None

    def number(self, content: str) -> int:
        """Return how many rows had this `content` so far, the one that asks included."""
        with self._lock:
            return self._count(_digest(content, b"content"))

    def _count(self, digest: bytes) -> int:
        count = int(self._get(digest) or 0) + 1
        self._put(digest, str(count))
        return count

    def _get(self, digest: bytes) -> str | None:
        known = self._newest.get(digest)
        byte, bit = _bit(digest)
        if known is not None or not self._older[byte] & bit:
            return known
        row = self._db.execute("SELECT value FROM seen WHERE id = ?", (digest,)).fetchone()
        return None if row is None else str(row[0])

    def _put(self, digest: bytes, value: str) -> None:
        self._newest[digest] = value
        self._has_any = True
        if len(self._newest) >= _MOST_IN_MEMORY:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        """Move the newest digests to disk, sorted, so that each page is written once."""
        rows = sorted(self._newest.items())
        with sqlite_temporary_disk():
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        for digest in self._newest:
            byte, bit = _bit(digest)
            self._older[byte] |= bit
        self._newest.clear()

    def __del__(self) -> None:
        self._db.close()


def _digest(text: str, kind: bytes) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16, person=kind).digest()


def _bit(digest: bytes) -> tuple[int, int]:
    """Return the index of the byte and the mask of the bit for `digest`."""
    number = int.from_bytes(digest[:4], "big") % _BITS
    return number >> 3, 1 << (number & 7)
