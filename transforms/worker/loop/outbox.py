"""Hands items from the event loop to a bundle thread, many at a time and within a limit.

The problem: waking a thread for each item makes two threads take turns on the interpreter lock, and
that is slower than one after the other. A bundle thread that is behind must slow the work down.

The idea: the bundle thread says how many items it waits for (`Wait`). The loop wakes it at the end
of the turn in which that many are there. While the outbox has `limit` items, `put` blocks.

What holds: items come out in the order in which they were put. `_wanted` is 0 unless the bundle
thread waits. `_items` and `_wanted` change under the lock of `_filled` only.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """Items on their way from the loop to one bundle thread; `put` blocks at `limit` items.

    Outboxes with the same `filled` can be waited for together, by `wait_for_any`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limit: int, filled: threading.Condition | None = None
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._items: deque[Item] = deque()
        self._filled = filled or threading.Condition()
        self._wanted = 0  # items that the bundle thread waits for
        self._notifying = False
        self._space = asyncio.Event()

    async def put(self, items: Iterable[Item]) -> None:
        """Hand over `items`; wait while the outbox is full. Called on the loop."""
        while len(self._items) >= self._limit:
            self._space.clear()
            await self._space.wait()
        self.put_now(items)

    def put_now(self, items: Iterable[Item]) -> None:
        """Hand over `items` without waiting. Called on the loop."""
        with self._filled:
            self._items.extend(items)
            if self._wanted and not self._notifying:
                self._notifying = True
                self._loop.call_soon(self._notify)  # after all that this turn of the loop puts

    def _notify(self) -> None:
        with self._filled:
            self._notifying = False
            if 0 < self._wanted <= len(self._items):
                self._wanted = 0  # the thread takes all items that have arrived when it runs
                self._filled.notify()

    def take(self, wait: Wait | None) -> list[Item]:
        """Return all items; with `wait`, wait for as many as it says first."""
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

    def __len__(self) -> int:
        return len(self._items)


def wait_for_any(waits: list[tuple[Outbox[Any], int]], seconds: float | None) -> None:
    """Return once one of the outboxes has as many items as named, or after `seconds`.

    The outboxes share `filled`.
    """
    filled = waits[0][0]._filled
    with filled:
        for outbox, least in waits:
            outbox._wanted = least
        filled.wait_for(lambda: any(len(outbox) >= least for outbox, least in waits), seconds)
        for outbox, _ in waits:
            outbox._wanted = 0


class Wait(NamedTuple):
    """How long a bundle thread waits: for `least` items, but no longer than `seconds`."""

    least: int = 1
    seconds: float | None = None
