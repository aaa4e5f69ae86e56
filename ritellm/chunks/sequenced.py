"""Add up numbered chunks that arrive in any order, and more than once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import orjson

from ritellm.chunks.sum import ChunkSum

# JSON is smaller than a dict and can be pickled; a chunk that is already parsed stays as it is.
SomeChunk = bytes | str | Mapping[str, Any]


class SequencedSum:
    """The sum of chunks numbered `(attempt, seq)`, in any order and with any repetition.

    An attempt is a number, or a submission and a number: what sorts after another one is newer.

    Chunks are kept as they are, mostly as JSON, and parsed only when a sum is computed.
    """

    __slots__ = ("_attempts",)

    def __init__(self) -> None:
        self._attempts: dict[Any, dict[int, SomeChunk]] = {}

    def add(self, attempt: Any, seq: int, chunk: SomeChunk) -> None:
        """Add a chunk, or its JSON; a second chunk of the same number changes nothing."""
        self._attempts.setdefault(attempt, {}).setdefault(seq, chunk)

    def merge(self, other: SequencedSum) -> None:
        """Add the chunks of `other`."""
        for attempt, chunks in other._attempts.items():
            mine = self._attempts.setdefault(attempt, {})
            for seq, chunk in chunks.items():
                mine.setdefault(seq, chunk)

    @property
    def attempts(self) -> list[Any]:
        """The attempts so far, newest first."""
        return sorted(self._attempts, reverse=True)

    def length(self, attempt: Any) -> int:
        """Return the number of chunks of `attempt` before the first gap."""
        chunks = self._attempts.get(attempt, {})
        return next(seq for seq in range(len(chunks) + 1) if seq not in chunks)

    def sum(self, attempt: Any) -> ChunkSum:
        """Return the sum of `attempt`, up to the first gap."""
        chunks = self._attempts.get(attempt, {})
        total = ChunkSum()
        for seq in range(self.length(attempt)):
            total.add(_parsed(chunks[seq]))
        return total

    def take(self, attempt: Any, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the chunks of `attempt` from number `start` to the first gap, and remove them."""
        chunks = self._attempts.get(attempt, {})
        for seq in count(start):
            if (chunk := chunks.pop(seq, None)) is None:
                return
            yield _parsed(chunk)


def _parsed(chunk: SomeChunk) -> Mapping[str, Any]:
    return chunk if isinstance(chunk, Mapping) else orjson.loads(chunk)
