"""Hands results from the event loop to the bundle's thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """Hands items from the loop to one bundle thread in lots, and holds back when it is full."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._items: deque[Item] = deque()
        self._filled = threading.Condition()
        self._wanted = 0  # so many items the bundle thread waits for; 0 while it does not wait
        self._telling = False
        self._space = asyncio.Event()

    async def put(self, items: Iterable[Item]) -> None:
        """Hand over `items`; waits while the bundle thread is behind. Called on the loop."""
        while len(self._items) >= self._limit:
            self._space.clear()
            await self._space.wait()
        self.put_now(items)

    def put_now(self, items: Iterable[Item]) -> None:
        """Hand over `items` without waiting. Called on the loop."""
        with self._filled:
            self._items.extend(items)
            if self._wanted and not self._telling:
                # Once for all that this turn of the loop brings: two threads that take turns at
                # each item are slower than one after the other.
                self._telling = True
                self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        with self._filled:
            self._telling = False
            if 0 < self._wanted <= len(self._items):
                self._wanted = 0  # it has been told, and will find what comes until it looks
                self._filled.notify()

    def take(self, wait: Wait | None) -> list[Item]:
        """Return all items there are; with `wait`, once there are as many as it says."""
        with self._filled:
            if wait is not None and len(self._items) < wait.least:
                self._wanted = wait.least
                self._filled.wait_for(lambda: len(self._items) >= wait.least, wait.seconds)
                self._wanted = 0
            items = list(self._items)
            self._items.clear()
        if len(items) >= self._limit:
            self._loop.call_soon_threadsafe(self._space.set)
        return items


class Wait(NamedTuple):
    """How long a bundle thread waits: for so many items, but no longer than so many seconds."""

    least: int = 1
    seconds: float | None = None
