"""Sums over time in a bounded number of buckets, which can be merged in any order. Pure.

The problem: a job takes a second or a week, and it is not known beforehand. Workers add up their
own part of it, and the parts are merged.

The idea: all buckets are equally wide, and the width is a power of two times `_FIRST_WIDTH`. When
the buckets of a timeline would span more than `MOST_BUCKETS`, the width doubles, and pairs of
neighbours are merged. The bounds of buckets are multiples of the width since 1970, so the buckets
of two timelines match once the narrower one has the width of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

MOST_BUCKETS = 200
_FIRST_WIDTH = 1.0


class Sum(Protocol):
    """What a bucket has: something that another of its kind can be added to."""

    def merge(self, other: Any) -> None:
        """Add `other`, which stays as it is."""


S = TypeVar("S", bound=Sum)


class Timeline(Generic[S]):
    """Sums of the kind that `new` makes, by time; times are seconds since 1970."""

    __slots__ = ("_buckets", "_new", "width")

    def __init__(self, new: Callable[[], S]) -> None:
        self.width = _FIRST_WIDTH
        self._new = new
        self._buckets: dict[int, S] = {}

    def at(self, time: float) -> S:
        """Return the sum of the bucket that `time` is in, to add to."""
        bucket = self._buckets.get(int(time // self.width))
        return self._added(time) if bucket is None else bucket

    def merge(self, other: Timeline[S]) -> None:
        """Add the buckets of `other`."""
        while self.width < other.width:
            self._double()
        for start, theirs in other:
            self.at(start).merge(theirs)

    def __iter__(self) -> Iterator[tuple[float, S]]:
        """Yield the start and the sum of each bucket that has one, in order."""
        for index in sorted(self._buckets):
            yield index * self.width, self._buckets[index]

    def __len__(self) -> int:
        return len(self._buckets)

    def _added(self, time: float) -> S:
        first, last = min(self._buckets, default=None), max(self._buckets, default=None)
        while True:
            index = int(time // self.width)
            if first is None or last is None:
                break
            if max(last, index) - min(first, index) < MOST_BUCKETS:
                break
            self._double()
            first, last = min(self._buckets), max(self._buckets)
        return self._buckets.setdefault(index, self._new())

    def _double(self) -> None:
        self.width *= 2
        halves, self._buckets = self._buckets, {}
        for index, half in halves.items():
            whole = self._buckets.get(index // 2)
            if whole is None:
                self._buckets[index // 2] = half
            else:
                whole.merge(half)
