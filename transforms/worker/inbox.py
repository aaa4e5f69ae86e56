"""What other threads have for an event loop: one wake-up for all that comes together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

Result = TypeVar("Result")


class Inbox:
    """Calls functions on `loop` that other threads post.

    asyncio's own way costs a system call for each, and one more to read it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop_of = ref(loop)
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._waiting: dict[Future[Any], list[asyncio.Future[None]]] = {}
        self._woken = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have the loop call `call(*arguments)`, soon and in order."""
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
        """Return what a thread puts into `future`; leaving early takes nothing back.

        Many may wait for the same one: the thread wakes the loop once for all of them.
        """
        if not future.done():
            come: asyncio.Future[None] = self._loop.create_future()
            waiting = self._waiting.setdefault(future, [])
            waiting.append(come)
            if len(waiting) == 1:
                future.add_done_callback(lambda done: self.post(self._come, done))
            await come
        return future.result()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop_of()
        assert loop is not None, "an inbox does not outlive its loop"
        return loop

    def _empty(self) -> None:
        # In this order: what is posted from here on either is found below or wakes the loop again.
        self._woken = False
        while self._calls:
            call, arguments = self._calls.popleft()
            try:
                call(*arguments)
            except Exception as error:  # as the loop does: it is nobody else's
                said = {"message": f"posted: {call!r}", "exception": error}
                self._loop.call_exception_handler(said)

    def _come(self, future: Future[Any]) -> None:
        for come in self._waiting.pop(future):
            if not come.done():
                come.set_result(None)


_inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Inbox] = WeakKeyDictionary()
