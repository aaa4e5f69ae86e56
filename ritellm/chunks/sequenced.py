"""Add up numbered chunks that arrive in any order, and more than once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ritellm.chunks.sum import ChunkSum
from ritellm.errors import ABOUT_VALUES
from ritellm.types import Chunk

# A chunk that waits is kept as it came. JSON is smaller than a dict.
SomeChunk = bytes | str | Mapping[str, Any]


class SequencedSum:
    """The sum of the chunks of one text, numbered from 0, in any order and with any repetition.

    The chunks up to the first gap are summed when they arrive; those after it wait. The final chunk
    has the number `end`: the sum is whole when all chunks up to it are there.
    """

    __slots__ = ("_sum", "_waiting", "broken", "end")

    def __init__(self) -> None:
        self._sum = ChunkSum()
        self._waiting: dict[int, SomeChunk] = {}
        self.end: int | None = None
        self.broken = False  # a chunk could not be read: the sum never becomes whole

    def add(self, seq: int, chunk: SomeChunk, *, final: bool = False) -> list[Mapping[str, Any]]:
        """Add a chunk, or its JSON; return the chunks that are summed now.

        A second chunk of the same number changes nothing. Raises ValueError for a chunk that
        cannot be read, once.
        """
        if self.broken or seq < self._sum.count:
            return []
        if final and self.end is None:
            self.end = seq
        self._waiting.setdefault(seq, chunk)
        return list(self._summed())

    def merge(self, other: SequencedSum) -> None:
        """Add the chunks of `other`, which stays as it is."""
        if other.length > self.length:
            self._sum = _folded(other._sum.chunk(), other.length)
        self.end = other.end if self.end is None else self.end
        self.broken = self.broken or other.broken
        waiting = {**other._waiting, **self._waiting}
        self._waiting = {seq: chunk for seq, chunk in waiting.items() if seq >= self.length}
        list(self._summed())

    @property
    def length(self) -> int:
        """The number of chunks before the first gap."""
        return self._sum.count

    @property
    def is_whole(self) -> bool:
        """Whether the final chunk and all chunks before it have arrived."""
        return self.end is not None and self._sum.count > self.end and not self.broken

    @property
    def sum(self) -> ChunkSum:
        """The sum up to the first gap."""
        return self._sum

    @property
    def waiting(self) -> Mapping[int, SomeChunk]:
        """The chunks after the first gap, by their numbers."""
        return self._waiting

    def fold(self) -> Chunk:
        """Keep the sum as one chunk, which needs less memory; return this chunk."""
        chunk = self._sum.chunk()
        self._sum = _folded(chunk, self._sum.count)
        return chunk

    @classmethod
    def of(
        cls, chunk: Mapping[str, Any], length: int, waiting: dict[int, SomeChunk], end: int | None
    ) -> SequencedSum:
        """Return the sum of `length` chunks that were folded to `chunk`, and of those that wait."""
        made = cls()
        made._sum = _folded(chunk, length)
        made._waiting = waiting
        made.end = end
        return made

    def _summed(self) -> Iterator[Mapping[str, Any]]:
        """Sum the chunks that no longer have a gap before them, and yield them."""
        while (chunk := self._waiting.pop(self._sum.count, None)) is not None:
            try:
                parsed = chunk if isinstance(chunk, Mapping) else orjson.loads(chunk)
                self._sum.add(parsed)
            except ABOUT_VALUES as error:
                self.broken = True
                self._waiting.clear()
                raise ValueError(f"a delta has an unreadable chunk ({error!r:.200})") from error
            yield parsed


def _folded(chunk: Mapping[str, Any], length: int) -> ChunkSum:
    total = ChunkSum()
    if length:
        total.add(chunk)
        total.count = length
    return total
