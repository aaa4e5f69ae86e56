"""Runs many coroutines for one bundle thread: an event loop beside it, and a window of work.

The problem: Beam calls a DoFn on a thread, one element after the other, and expects results on that
thread. Thousands of requests must be in flight meanwhile.

The idea: one event loop per process, in a thread of its own (`EventLoop`). Each bundle has a
`Window`: the bundle thread submits work to the loop and takes back what the work has put.

    bundle thread          Window                     event loop
    submit(key, work)  ->  inbox, start queue    ->   task runs work(put)
    take(wait)         <-  outbox (bounded)      <-   put(items), then _Done

What holds:

- The items of one piece of work come out in the order in which they were put, `_Done` last.
- `in_flight` changes on the bundle thread only, so it needs no lock.
- Work that ends in any way sends one `_Done`, so a bundle never waits for lost work.
- A full outbox blocks the work, so a slow consumer slows the requests down.

No Beam, no HTTP. This module does not depend on what the work does.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from transforms.worker.loop.inbox import Inbox
from transforms.worker.loop.outbox import Item, Outbox, Wait
from transforms.worker.loop.quiet_logs import quiet_httpx

Key = TypeVar("Key")

_THREAD = "ritellm-event-loop"


class HasClient(Protocol):
    """The part of the resources that the event loop uses."""

    @property
    def client(self) -> Any:
        """An object with a coroutine `close()`, which releases its connections."""


AnyResources = TypeVar("AnyResources", bound=HasClient)


class Loop(Protocol):
    """An event loop in another thread: an `EventLoop`, or a lease on the engine of the process."""

    loop: asyncio.AbstractEventLoop
    inbox: Inbox
    start_queue: _StartQueue

    def run(self, coroutine: Coroutine[Any, Any, Item]) -> Item:
        """Run `coroutine` on the loop and return its result."""


class EventLoop(Generic[AnyResources]):
    """One event loop in a thread of its own, and the resources of the work on it.

    One per process, shared by all bundle threads (hold it by `apache_beam.utils.shared.Shared`).
    """

    def __init__(self, new_resources: Callable[[], AnyResources]) -> None:
        self.loop = asyncio.new_event_loop()
        self.inbox = Inbox.of(self.loop)
        self.start_queue = _StartQueue(self.loop)
        self._thread = threading.Thread(
            target=_run_loop, args=(self.loop,), name=_THREAD, daemon=True
        )
        quiet_httpx(_THREAD)
        self._thread.start()
        try:
            self.resources = self.run(_make(new_resources))
        except BaseException:  # else nothing closes this loop
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout=10)
            raise
        tune_interpreter()
        held = (self.loop, self._thread, self.resources)
        self._finalizer = weakref.finalize(self, _stop, *held)

    def run(self, coroutine: Coroutine[Any, Any, Item]) -> Item:
        """Run `coroutine` on the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        """Stop the loop; garbage collection of the last reference does the same."""
        self._finalizer()


# Each turn of the loop starts `_STARTS` pieces of work, or one in `_SHARE` of the waiting ones if
# that is more.
_STARTS, _SHARE = 8, 8


class _StartQueue:
    """Starts work gradually, some of it in each turn of the loop.

    If all work started at once, each piece would wait for all others at every step: the first of
    256 requests would be sent only after all 256 are connected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()

    def add(self, start: Callable[[], object]) -> None:
        """Call `start` in its turn. Called on the loop."""
        self._waiting.append(start)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        waiting = self._waiting
        for _ in range(min(len(waiting), max(_STARTS, len(waiting) // _SHARE))):
            waiting.popleft()()
        if waiting:
            self._loop.call_soon(self._next)


# How long a computing thread may hold the interpreter lock. The loop's thread needs the lock after
# each system call, many times per row, so Python's default of 5 ms is too long.
_TURN_SECONDS = 0.0005
# New objects between two collections of the youngest generation. A few requests create Python's
# default of 700, and thousands are in flight.
_YOUNG = 10_000


@cache
def tune_interpreter() -> None:
    """Tune the interpreter for one loop and thousands of requests, once in a process.

    Threads take shorter turns. The garbage collector runs less often, because the objects of
    requests in flight are not garbage. Settings that already go further are kept.
    """
    if sys.getswitchinterval() > _TURN_SECONDS:
        sys.setswitchinterval(_TURN_SECONDS)
    gc.collect()
    gc.freeze()  # the objects that exist now are mostly modules and will never be garbage
    young, *older = gc.get_threshold()
    if 0 < young < _YOUNG:
        gc.set_threshold(_YOUNG, *older)


async def _make(new_resources: Callable[[], AnyResources]) -> AnyResources:
    return new_resources()  # on the loop: clients and locks belong to it


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, resources: HasClient) -> None:
    if loop.is_closed():
        return
    asyncio.run_coroutine_threadsafe(_shut_down(resources), loop)
    if thread is not threading.current_thread():
        thread.join(timeout=10)


async def _shut_down(resources: HasClient) -> None:
    """Cancel what still runs, close the client, then let the loop end."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        await resources.client.close()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()
    finally:
        loop.stop()


@dataclass(slots=True)
class _Done(Generic[Key]):
    """Marks the end of a piece of work; `error` is an unexpected one."""

    error: BaseException | None


Put = Callable[[Iterable[Item]], Awaitable[None]]
Work = Callable[[Put[Item]], Awaitable[Iterable[Item]]]


class Window(Generic[Key, Item]):
    """The work that one bundle has in flight.

    `submit` starts work under a key. Items that the work puts or returns come out of `take` as
    (key, item), in order for each piece of work, until nothing is `in_flight`.
    """

    def __init__(
        self, event_loop: Loop, limit: int = 4096, filled: threading.Condition | None = None
    ) -> None:
        self._event_loop = event_loop
        self.outbox: Outbox[tuple[Key, Item | _Done[Key]]] = Outbox(event_loop.loop, limit, filled)
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up = False  # by `cancel`: work that has not started never does
        self.in_flight = 0

    @property
    def arrived(self) -> int:
        """The number of items that `take` would return at once, ends of work included."""
        return len(self.outbox)

    def submit(self, key: Key, work: Work[Item]) -> None:
        """Start `work(put)` on the loop."""
        self.in_flight += 1
        start = functools.partial(self._begin, key, work)
        self._event_loop.inbox.post(self._event_loop.start_queue.add, start)

    def take(self, wait: Wait | None = None) -> list[tuple[Key, Item]]:
        """Return the items that have arrived; with `wait`, wait for some first.

        The end of a piece of work counts as an item to wait for. Raises an error that work raised:
        work should put its failures, not raise them.
        """
        items: list[tuple[Key, Item]] = []
        for key, item in self.outbox.take(wait):
            if not isinstance(item, _Done):
                items.append((key, item))
                continue
            self.in_flight -= 1
            if item.error is not None:
                raise item.error
        return items

    def cancel(self) -> None:
        """Cancel everything in flight; return once it has stopped."""
        self._given_up = True
        # The loop may be closed already when the interpreter shuts down.
        if self.in_flight and not self._event_loop.loop.is_closed():
            self._event_loop.run(self._cancel_all())
        self.outbox.take(None)
        self.in_flight = 0

    def _begin(self, key: Key, work: Work[Item]) -> None:
        if self._given_up:
            return
        task = self._event_loop.loop.create_task(self._work(key, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, key: Key, work: Work[Item]) -> None:
        async def put(items: Iterable[Item]) -> None:
            await self.outbox.put([(key, item) for item in items])

        error: BaseException | None = None
        last: list[tuple[Key, Item]] = []
        try:
            last = [(key, item) for item in await work(put)]
        except asyncio.CancelledError:
            if not self._given_up:  # not by `cancel`: the bundle thread still waits for the end
                lost = RuntimeError("work was cancelled from outside its window")
                self.outbox.put_now([(key, _Done(lost))])
            raise
        except BaseException as unexpected:  # `take` raises it on the bundle thread
            error = unexpected
        # All at once and without blocking, so that the end of the work always arrives.
        self.outbox.put_now([*last, (key, _Done(error))])

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
