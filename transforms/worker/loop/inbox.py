"""Calls from other threads to an event loop, with one wake-up for all calls that arrive together.

The problem: `loop.call_soon_threadsafe` writes to a socket for each call, and the loop reads from
it: two system calls and one more turn of the loop, for each of thousands of calls per second.

The idea: threads append calls to a deque, and only the first one wakes the loop. The loop then
drains the deque in one turn.

What holds: a posted call is never lost. `_woken` is cleared before the deque is drained, so a call
is either found by the drain or wakes the loop again. `deque.append` and `popleft` are atomic, so no
lock is needed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

Result = TypeVar("Result")


class Inbox:
    """Calls functions on `loop` that other threads post. There is one inbox per loop (`of`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop_of = ref(loop)
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._waiting: dict[Future[Any], list[asyncio.Future[None]]] = {}
        self._woken = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call `call(*arguments)` on the loop, soon and in order."""
        self._calls.append((call, arguments))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._empty)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Inbox:
        """Return the inbox of `loop`."""
        inbox = _inboxes.get(loop)
        if inbox is None:
            inbox = _inboxes[loop] = cls(loop)
        return inbox

    async def result(self, future: Future[Result]) -> Result:
        """Return the result that a thread gives `future`; cancelling this does not cancel it.

        Many tasks may wait for one future: the thread wakes the loop once for all of them.
        """
        if not future.done():
            waiter: asyncio.Future[None] = self._loop.create_future()
            waiting = self._waiting.setdefault(future, [])
            waiting.append(waiter)
            if len(waiting) == 1:
                future.add_done_callback(lambda done: self.post(self._wake_waiters, done))
            await waiter
        return future.result()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop_of()
        assert loop is not None, "an inbox does not outlive its loop"
        return loop

    def _empty(self) -> None:
        # Cleared first: a call that is posted later is either found below or wakes the loop again.
        self._woken = False
        while self._calls:
            call, arguments = self._calls.popleft()
            try:
                call(*arguments)
            except Exception as error:  # as the loop does with its own callbacks
                context = {"message": f"posted: {call!r}", "exception": error}
                self._loop.call_exception_handler(context)

    def _wake_waiters(self, future: Future[Any]) -> None:
        for waiter in self._waiting.pop(future):
            if not waiter.done():
                waiter.set_result(None)


_inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Inbox] = WeakKeyDictionary()
