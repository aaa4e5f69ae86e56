"""Many answers at once from one bundle thread: an event loop beside it, and a window of work.

Knows nothing of Beam, of HTTP, or of what an answer is.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from transforms.worker.inbox import Inbox
from transforms.worker.outbox import Item, Outbox, Wait

Key = TypeVar("Key")


class Means(Protocol):
    """What work is done with, as the engine knows it."""

    @property
    def client(self) -> Any:
        """Has a coroutine `close()`, which gives back what is held."""


AnyMeans = TypeVar("AnyMeans", bound=Means)


class Engine(Generic[AnyMeans]):
    """One event loop in a thread of its own, and what lives on it.

    One per process, shared by all bundle threads (hold it by `apache_beam.utils.shared.Shared`).
    """

    def __init__(self, new_means: Callable[[], AnyMeans]) -> None:
        self.loop = asyncio.new_event_loop()
        self.inbox = Inbox.of(self.loop)
        self.starts = _Starts(self.loop)
        self._thread = threading.Thread(
            target=_run_loop, args=(self.loop,), name="ritellm-engine", daemon=True
        )
        self._thread.start()
        self.means = self.run(_make(new_means))
        settle()
        self._finalizer = weakref.finalize(self, _stop, self.loop, self._thread, self.means)

    def run(self, coroutine: Coroutine[Any, Any, Item]) -> Item:
        """Run `coroutine` on the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        """Stop the loop; happens by itself when the last holder is gone."""
        self._finalizer()


# So much work begins in one turn of the loop: so many pieces, or that share of what waits.
_STARTS, _SHARE = 8, 8


class _Starts:
    """Begins work, a little each turn of the loop.

    All at once, each would wait for all others at every step that it takes: of 256 requests none
    would be sent before all 256 are connected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()

    def add(self, start: Callable[[], object]) -> None:
        """Call `start` when it is its turn. Called on the loop."""
        self._waiting.append(start)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        waiting = self._waiting
        for _ in range(min(len(waiting), max(_STARTS, len(waiting) // _SHARE))):
            waiting.popleft()()
        if waiting:
            self._loop.call_soon(self._next)


# So long a thread that computes may keep the interpreter to itself: the loop's thread asks for it
# after each system call, many times for each row, and Python's own 5 ms are a long time then.
_TURN_SECONDS = 0.0005
# So many more objects before the youngest are looked through: Python's own 700 are those of a few
# requests, and thousands are under way.
_YOUNG = 10_000


@cache
def settle() -> None:
    """Set up the interpreter for one loop and thousands of requests, once in a process.

    The garbage collector is spared what is in vain: what is there by now, mostly modules, will
    stay, and who has a request under way is no garbage, however often it is looked at. Threads take
    shorter turns. What somebody has set further in that direction, or turned off, is kept.
    """
    if sys.getswitchinterval() > _TURN_SECONDS:
        sys.setswitchinterval(_TURN_SECONDS)
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    if 0 < young < _YOUNG:
        gc.set_threshold(_YOUNG, *older)


async def _make(new_means: Callable[[], AnyMeans]) -> AnyMeans:
    return new_means()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, means: Means) -> None:
    if loop.is_closed():
        return
    asyncio.run_coroutine_threadsafe(_shut_down(means), loop)
    if thread is not threading.current_thread():
        thread.join(timeout=10)


async def _shut_down(means: Means) -> None:
    """Cancel what still runs, close the client, then let the loop end."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        await means.client.close()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()
    finally:
        loop.stop()


@dataclass(slots=True)
class _Done(Generic[Key]):
    """Says that the work under `key` is over; `error` is what nobody expected."""

    error: BaseException | None


Put = Callable[[Iterable[Item]], Awaitable[None]]
Work = Callable[[Put[Item]], Awaitable[Iterable[Item]]]


class Window(Generic[Key, Item]):
    """The work that one bundle has in flight.

    `submit` starts work under a key; what it puts and what it returns comes out of `take` as
    (key, item), in order for each piece of work, until nothing is `in_flight`.
    """

    def __init__(self, engine: Engine[Any], limit: int = 4096) -> None:
        self._engine = engine
        self._outbox: Outbox[tuple[Key, Item | _Done[Key]]] = Outbox(engine.loop, limit)
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up = False
        self.in_flight = 0

    def submit(self, key: Key, work: Work[Item]) -> None:
        """Start `work(put)` on the loop."""
        self.in_flight += 1
        self._engine.inbox.post(self._engine.starts.add, lambda: self._begin(key, work))

    def take(self, wait: Wait | None = None) -> list[tuple[Key, Item]]:
        """Return what has come; with `wait`, once there is something.

        The end of a piece of work counts as an item to wait for. Raises what work raised: work is
        expected to put its failures, not to raise them.
        """
        items: list[tuple[Key, Item]] = []
        for key, item in self._outbox.take(wait):
            if not isinstance(item, _Done):
                items.append((key, item))
                continue
            self.in_flight -= 1
            if item.error is not None:
                raise item.error
        return items

    def cancel(self) -> None:
        """Give up everything in flight; returns once it has stopped."""
        self._given_up = True
        if self.in_flight and not self._engine.loop.is_closed():
            self._engine.run(self._cancel_all())
        self._outbox.take(None)
        self.in_flight = 0

    def _begin(self, key: Key, work: Work[Item]) -> None:
        if self._given_up:
            return
        task = self._engine.loop.create_task(self._work(key, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, key: Key, work: Work[Item]) -> None:
        async def put(items: Iterable[Item]) -> None:
            await self._outbox.put([(key, item) for item in items])

        error: BaseException | None = None
        last: list[tuple[Key, Item]] = []
        try:
            last = [(key, item) for item in await work(put)]
        except asyncio.CancelledError:
            if not self._given_up:  # nobody here did that: a bundle that waits must not wait on
                lost = RuntimeError("work was cancelled from outside of its window")
                self._outbox.put_now([(key, _Done(lost))])
            raise
        except BaseException as unexpected:  # carried to the bundle thread, and raised there
            error = unexpected
        self._outbox.put_now([*last, (key, _Done(error))])

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
