"""The interface of a journal, its errors, and the form of a stored value.

No files, servers or Beam here. A journal does not interpret completions: a value is bytes, the JSON
of an object.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from transforms.journal.key import JournalKey


@dataclass(frozen=True, slots=True)
class Spent:
    """What something cost. `usd` is 0 if the price is unknown."""

    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.tokens - other.tokens, self.usd - other.usd)

    def __str__(self) -> str:
        usd = f"${self.usd:.4f}" if self.usd >= 0.01 else f"${self.usd:.6f}"
        return f"{usd} ({self.tokens:,} tokens)" if self.usd else f"{self.tokens:,} tokens"


NOTHING = Spent()


class Journal(Protocol):
    """Keeps finished completions; usable from any thread of one process.

    `lookup` and `lookup_equal` may block for milliseconds: call them on the bundle thread, not on
    the event loop. `record` and `spend` never block; await their futures with
    `asyncio.wrap_future`. Records that are written together may share a future. All methods raise
    JournalUnavailable, `record` and `spend` through their future.
    """

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request under any id, or None."""

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Record `value`; the future is done once the death of this process cannot undo it.

        The value and its cost are stored atomically. Recording `key` again replaces the value.
        """

    def spend(self, spent: Spent) -> Future[None]:
        """Add spending without a completion, such as that of a failed prompt."""

    def spent(self) -> Spent:
        """Return what all runs on this journal have spent."""

    def close(self) -> None:
        """Write the waiting records, and close; closing twice is harmless."""


class JournalError(Exception):
    """The journal cannot be opened or used; the message is one line."""


class JournalInUse(JournalError):
    """Another run is using this journal."""


class JournalUnavailable(JournalError):
    """The journal cannot be reached, read or written at the moment."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry. Without a key it records only spending."""

    key: JournalKey | None
    value: bytes
    spent: Spent


Write = Callable[[list[Record]], None]

# The largest value that is read. Damaged or foreign bytes may decompress to a thousand times their
# size.
MOST_BYTES = 64 << 20
# A byte of deflate becomes at most 1,032.
_SMALL = MOST_BYTES // 1_032


def pack(value: bytes) -> bytes:
    """Return `value` compressed: half the size, for 0.02 ms."""
    return zlib.compress(value, 1)


def unpack(stored: bytes) -> bytes:
    """Return the value in `stored`; raises ValueError if it is damaged or above MOST_BYTES.

    A JSON object that was stored uncompressed (for speed) is returned unchanged.
    """
    if stored[:1] == b"{":
        return stored
    if len(stored) < _SMALL:  # it cannot become larger than MOST_BYTES
        with suppress(zlib.error):  # what is wrong is said below
            return zlib.decompress(stored)  # faster
    unzip = zlib.decompressobj()
    try:
        value = unzip.decompress(stored, MOST_BYTES)  # checks its own checksum
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unzip.eof:
        reason = "is larger than 64 MiB" if len(value) >= MOST_BYTES else "is cut off"
        raise ValueError(f"a value {reason}")
    return value
