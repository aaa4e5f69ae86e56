"""Bounded samples of many rows, which can be merged in any order with the same result. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from hashlib import blake2b


def rank(id: str, place: str | None) -> int:
    """Return a number below 2**64 that looks random, and is the same for a row in every run."""
    name = f"{id}\0{place or ''}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")


class Least:
    """The `size` entries of least rank among all that were offered; ties go by their bytes.

    If ranks are hashes, this is a uniform sample. An entry is bytes, so that memory is bounded and
    the order of equal ranks is that of their content.
    """

    __slots__ = ("_heap", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        # The negated ranks and the entries; the one that leaves next comes first.
        self._heap: list[tuple[float, bytes]] = []

    def wants(self, rank: float) -> bool:
        """Return whether an entry of this rank may get in."""
        heap = self._heap
        return len(heap) < self.size or (self.size > 0 and -rank >= heap[0][0])

    def offer(self, rank: float, entry: Callable[[], bytes]) -> None:
        """Take `entry()` if it is among the least; it is called only if it may be."""
        if self.wants(rank):
            self._take((-rank, entry()))

    def merge(self, other: Least) -> None:
        """Add the entries of `other`; the larger size of both counts."""
        self.size = max(self.size, other.size)
        for item in other._heap:
            self._take(item)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the entries, the least rank first."""
        for _, entry in sorted(self._heap, key=lambda item: (-item[0], item[1])):
            yield entry

    def __len__(self) -> int:
        return len(self._heap)

    def _take(self, item: tuple[float, bytes]) -> None:
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, item)
        else:
            heapq.heappushpop(self._heap, item)
