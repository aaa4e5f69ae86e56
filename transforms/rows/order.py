"""The order in which results leave: as they are complete, or as their rows came. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")


class Order(Protocol[Item]):
    """Decides when a result leaves."""

    @property
    def waiting(self) -> int:
        """How many results wait for that of an earlier row."""

    def add(self, done: Iterable[tuple[int, Item]]) -> Iterator[Item]:
        """Take results with the numbers of their rows; yield those that may leave."""


class AsCompleted(Generic[Item]):
    """Results leave at once."""

    waiting = 0

    def add(self, done: Iterable[tuple[int, Item]]) -> Iterator[Item]:
        """Yield all of them."""
        return (item for _, item in done)


class AsGiven(Generic[Item]):
    """A result leaves after those of all earlier rows, which are numbered from 0."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Item] = {}

    @property
    def waiting(self) -> int:
        """How many results wait for that of an earlier row."""
        return len(self._held)

    def add(self, done: Iterable[tuple[int, Item]]) -> Iterator[Item]:
        """Keep the results; yield those whose turn it is."""
        self._held.update(done)
        while self._next in self._held:
            self._next += 1
            yield self._held.pop(self._next - 1)
