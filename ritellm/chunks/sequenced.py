"""The sum of chunks that come in any order, and more than once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import orjson

from ritellm.chunks.sum import ChunkSum

# JSON is small and can travel; who has it parsed already need not write it again.
SomeChunk = bytes | str | Mapping[str, Any]


class SequencedSum:
    """The sum of chunks that carry `(attempt, seq)`: in any order, any number of times.

    Chunks are kept as they come, as JSON for the most part, until the sum is asked for.
    """

    __slots__ = ("_attempts",)

    def __init__(self) -> None:
        self._attempts: dict[int, dict[int, SomeChunk]] = {}

    def add(self, attempt: int, seq: int, chunk: SomeChunk) -> None:
        """Add a chunk, or its JSON; the same place again changes nothing."""
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
            total.add(_parsed(chunks[seq]))
        return total

    def take(self, attempt: int, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the chunks of `attempt` from number `start` to the first gap, and let them go."""
        chunks = self._attempts.get(attempt, {})
        for seq in count(start):
            if (chunk := chunks.pop(seq, None)) is None:
                return
            yield _parsed(chunk)


def _parsed(chunk: SomeChunk) -> Mapping[str, Any]:
    return chunk if isinstance(chunk, Mapping) else orjson.loads(chunk)
