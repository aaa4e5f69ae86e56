"""A bounded queue to a sink, and the thread that empties it in lots. Knows nothing of Beam.

What is put costs the bundle thread next to nothing; who is faster than the sink waits.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from transforms.sinks.base import Publisher, SinkUnavailable

_log = logging.getLogger("transforms.publishing")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Terms:
    """How elements go out.

    `flush_msec` is the least time between two lots, `limit` the most elements that wait, `most` the
    most in a lot. A sink that stays unavailable is given up after `give_up_after` seconds.
    """

    flush_msec: float = 10.0
    limit: int = 10_000
    most: int = 2_000
    give_up_after: float = 60.0


class Outgoing(Generic[Item]):
    """Publishes what is put, in order: at once after a pause, else in lots.

    `on_published` is called with each lot that the sink has, in the thread that published it. When
    the sink is given up, what waits is dropped, `failures` grows by one, `on_given_up` is called
    with `error`: whoever put something before must fail with it, so that it is put again.
    """

    def __init__(
        self,
        new_publisher: Callable[[], Publisher[Item]],
        terms: Terms,
        on_published: Callable[[Sequence[Item]], None] | None = None,
        on_given_up: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._sender = _Sender(new_publisher, terms, on_published, on_given_up)
        self._items, self._filled = self._sender.items, self._sender.filled
        self._limit = terms.limit
        self._thread = threading.Thread(
            target=self._sender.run, name="ritellm-outgoing", daemon=True
        )
        self._thread.start()
        self._finalizer = weakref.finalize(self, _stop, self._sender, self._thread)

    @property
    def failures(self) -> int:
        """How often the sink was given up."""
        return self._sender.failures

    @property
    def error(self) -> BaseException | None:
        """Why the sink was given up the last time."""
        return self._sender.error

    def put(self, item: Item) -> None:
        """Queue `item`; waits while the queue is full."""
        self._items.append(item)
        if not self._filled.is_set():
            self._filled.set()
        if len(self._items) >= self._limit:
            self._sender.wait_until(lambda: len(self._items) < self._limit)

    def flush(self) -> None:
        """Return when all that was put is published, or given up."""
        self._sender.hurry.set()
        self._sender.wait_until(self._sender.is_idle)
        self._sender.hurry.clear()

    def close(self) -> None:
        """Publish nothing more and let go; happens by itself when nobody holds this any more."""
        self._finalizer()


def _stop(sender: _Sender[Any], thread: threading.Thread) -> None:
    sender.over.set()
    sender.hurry.set()
    sender.filled.set()
    if thread is not threading.current_thread():
        thread.join(timeout=10)


@dataclass
class _Sender(Generic[Item]):
    """What the thread works on. Does not know who puts: so that can be dropped."""

    new_publisher: Callable[[], Publisher[Item]]
    terms: Terms
    on_published: Callable[[Sequence[Item]], None] | None
    on_given_up: Callable[[BaseException], None] | None
    items: deque[Item] = field(default_factory=deque)
    filled: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)  # somebody waits: no pauses
    over: threading.Event = field(default_factory=threading.Event)
    failures: int = 0
    error: BaseException | None = None
    _moved: threading.Condition = field(default_factory=threading.Condition)
    _busy: bool = False
    _publisher: Publisher[Item] | None = None

    def is_idle(self) -> bool:
        """Return whether all is out."""
        return not self.items and not self._busy  # in this order: busy is set first

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is looked at whenever a lot is out."""
        with self._moved:
            while not condition() and not self.over.is_set():
                self._moved.wait(1.0)

    def run(self) -> None:
        """Publish until it is over."""
        while not self.over.is_set():
            self.filled.wait()
            self.filled.clear()
            while self.items and not self.over.is_set():
                begun = time.monotonic()
                self._next_lot()
                self.hurry.wait(max(0.0, begun + self.terms.flush_msec / 1000 - time.monotonic()))
        self._let_go()

    def _next_lot(self) -> None:
        self._busy = True
        lot = [self.items.popleft() for _ in range(min(len(self.items), self.terms.most))]
        try:
            self._publish(lot)
            if self.on_published is not None:
                self.on_published(lot)
        except Exception as error:
            self._give_up(error)
        finally:
            self._busy = False
            with self._moved:
                self._moved.notify_all()

    def _publish(self, lot: list[Item]) -> None:
        """Publish `lot`, trying again with growing delays while the sink is unavailable."""
        delay, begun = 0.1, time.monotonic()
        while True:
            try:
                if self._publisher is None:
                    self._publisher = self.new_publisher()
                self._publisher.publish(lot)
                return
            except SinkUnavailable as error:
                if (
                    self.over.is_set()
                    or time.monotonic() - begun + delay > self.terms.give_up_after
                ):
                    raise
                if delay == 0.1:
                    _log.warning("%s; trying again for %g s", error, self.terms.give_up_after)
            self.over.wait(delay)
            delay = min(delay * 2, 2.0)

    def _give_up(self, error: BaseException) -> None:
        """Drop what is there now; what is put from here on belongs to bundles that go on."""
        waiting = len(self.items)
        self.error = error
        self.failures += 1
        for _ in range(waiting):
            self.items.popleft()
        self._let_go()
        if self.on_given_up is not None:
            self.on_given_up(error)

    def _let_go(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is None:
            return
        try:
            publisher.close()
        except Exception as error:
            _log.warning("a sink could not be closed: %s", error)
