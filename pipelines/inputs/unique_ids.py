"""Each id once: a second row of an id is a dead letter."""

from __future__ import annotations

import hashlib
import sqlite3
import threading

# So many are at hand before they go to disk: a statement for each row costs more than the row.
_AT_HAND = 40_000


# Most rows are new. So many bits, one for each digest on disk, spare them a look there.
_BITS = 1 << 25


class SeenIds:
    """The ids seen so far, the older ones in a temporary file: a billion of them need no memory.

    Beside them stands how many rows had the same content.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[bytes, str] = {}
        self._older = bytearray(_BITS >> 3)
        # "" is a private database on disk that goes away with the connection.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def claim(self, id: str, place: str, content: str | None = None) -> int:
        """Return the number of the row at `place` among those of the same `content`, from 1.

        0 if another place has claimed its `id`. The same place may claim again (a bundle's retry).
        """
        digest = _digest(id, b"id")
        with self._lock:
            if (known := self._get(digest)) is not None:
                number, _, owner = known.partition(" ")
                return int(number) if owner == place else 0
            number_now = 1 if content is None else self._count(_digest(content, b"content"))
            self._put(digest, f"{number_now} {place}")
            return number_now

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
        if len(self._newest) >= _AT_HAND:
            self._put_away()

    def _put_away(self) -> None:
        """Move what is at hand to the disk, in its order there: that touches each page once."""
        rows = sorted(self._newest.items())
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
    """Return where the bit of `digest` is: in which byte, and which of that."""
    number = int.from_bytes(digest[:4], "big") % _BITS
    return number >> 3, 1 << (number & 7)
