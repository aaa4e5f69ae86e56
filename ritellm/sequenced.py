"""The sum of chunks that come in any order, and more than once. Pure."""

from __future__ import annotations

import orjson

from ritellm.chunks import ChunkSum


class SequencedSum:
    """The sum of chunks that carry `(attempt, seq)`: in any order, any number of times.

    Chunks are kept as JSON until the sum is asked for, so that it can travel.
    """

    __slots__ = ("_attempts",)

    def __init__(self) -> None:
        self._attempts: dict[int, dict[int, bytes | str]] = {}

    def add(self, attempt: int, seq: int, chunk: bytes | str) -> None:
        """Add a chunk's JSON; the same place again changes nothing."""
        self._attempts.setdefault(attempt, {}).setdefault(seq, chunk)

    def merge(self, other: SequencedSum) -> None:
        """Add everything that `other` holds."""
        for attempt, chunks in other._attempts.items():
            mine = self._attempts.setdefault(attempt, {})
            for seq, chunk in chunks.items():
                mine.setdefault(seq, chunk)

    @property
    def attempts(self) -> list[int]:
        """The attempts seen, the newest first."""
        return sorted(self._attempts, reverse=True)

    def length(self, attempt: int) -> int:
        """Return how many chunks of `attempt` there are without a gap, from 0."""
        chunks = self._attempts.get(attempt, {})
        return next(seq for seq in range(len(chunks) + 1) if seq not in chunks)

    def sum(self, attempt: int) -> ChunkSum:
        """Return the sum of `attempt`, up to the first gap."""
        chunks = self._attempts.get(attempt, {})
        total = ChunkSum()
        for seq in range(self.length(attempt)):
            total.add(orjson.loads(chunks[seq]))
        return total
