"""A bounded queue in front of a sink, and the thread that publishes from it in batches. No Beam.

Putting an element costs the bundle thread almost nothing. Producers block when the queue is full.

The queue and its thread are two objects: the thread holds a `_Sender` only, so that garbage
collection of the `PublishQueue` ends the thread.
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
class PublishOptions:
    """How elements are published.

    `flush_msec` is the least time between two batches, `limit` the most elements in the queue,
    `most` the most in a batch. The queue gives up a sink that is unavailable for `give_up_after`
    seconds.
    """

    flush_msec: float = 10.0
    limit: int = 10_000
    most: int = 2_000
    give_up_after: float = 60.0


class PublishQueue(Generic[Item]):
    """Publishes items in the order in which they are put: at once after a pause, else in batches.

    `on_published` is called with each batch that the sink has, in the thread that published it.
    When the queue gives up the sink, it drops its items, `failures` grows by one, and `on_given_up`
    is called with `error`. Producers must then fail with it, so that their items are put again.
    """

    def __init__(
        self,
        new_publisher: Callable[[], Publisher[Item]],
        options: PublishOptions,
        on_published: Callable[[Sequence[Item]], None] | None = None,
        on_given_up: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._sender = _Sender(new_publisher, options, on_published, on_given_up)
        self._items, self._filled = self._sender.items, self._sender.filled
        self._limit = options.limit
        self._thread = threading.Thread(
            target=self._sender.run, name="ritellm-publish", daemon=True
        )
        self._thread.start()
        self._finalizer = weakref.finalize(self, _stop, self._sender, self._thread)

    @property
    def failures(self) -> int:
        """How many times the sink was given up."""
        return self._sender.failures

    @property
    def error(self) -> BaseException | None:
        """The error that the sink was last given up for."""
        return self._sender.error

    def put(self, item: Item) -> None:
        """Queue `item`; block while the queue is full."""
        # No lock here: `append` is atomic, and the event is set only if the thread may be waiting.
        self._items.append(item)
        if not self._filled.is_set():
            self._filled.set()
        if len(self._items) >= self._limit:
            self._sender.wait_until(lambda: len(self._items) < self._limit)

    def flush(self) -> None:
        """Return once every item is published, or given up."""
        self._sender.hurry.set()
        self._sender.wait_until(self._sender.is_idle)
        self._sender.hurry.clear()

    def close(self) -> None:
        """Stop publishing and close the sink; garbage collection of the queue does the same."""
        self._finalizer()


def _stop(sender: _Sender[Any], thread: threading.Thread) -> None:
    sender.over.set()
    sender.hurry.set()
    sender.filled.set()
    if thread is not threading.current_thread():
        thread.join(timeout=10)


@dataclass
class _Sender(Generic[Item]):
    """The state of the thread. It holds no reference to the queue, which may thus be collected."""

    new_publisher: Callable[[], Publisher[Item]]
    options: PublishOptions
    on_published: Callable[[Sequence[Item]], None] | None
    on_given_up: Callable[[BaseException], None] | None
    items: deque[Item] = field(default_factory=deque)
    filled: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)  # a flush waits: no pauses
    over: threading.Event = field(default_factory=threading.Event)
    failures: int = 0
    error: BaseException | None = None
    _moved: threading.Condition = field(default_factory=threading.Condition)
    _busy: bool = False
    _publisher: Publisher[Item] | None = None

    def is_idle(self) -> bool:
        """Return whether every item is published."""
        return not self.items and not self._busy  # in this order: busy is set first

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; it is checked after each batch."""
        with self._moved:
            while not condition() and not self.over.is_set():
                self._moved.wait(1.0)

    def run(self) -> None:
        """Publish until the queue is closed."""
        while not self.over.is_set():
            self.filled.wait()
            self.filled.clear()  # before the items are read: a later item sets it again
            while self.items and not self.over.is_set():
                begun = time.monotonic()
                self._publish_batch()
                # Pause between batches, so that fast items share one; a flush ends the pause.
                self.hurry.wait(max(0.0, begun + self.options.flush_msec / 1000 - time.monotonic()))
        self._close_publisher()

    def _publish_batch(self) -> None:
        self._busy = True
        batch = [self.items.popleft() for _ in range(min(len(self.items), self.options.most))]
        try:
            self._publish(batch)
            if self.on_published is not None:
                self.on_published(batch)
        except Exception as error:
            self._give_up(error)
        finally:
            self._busy = False
            with self._moved:
                self._moved.notify_all()

    def _publish(self, batch: list[Item]) -> None:
        """Publish `batch`, with retries at growing delays while the sink is unavailable."""
        delay, begun = 0.1, time.monotonic()
        while True:
            try:
                if self._publisher is None:
                    self._publisher = self.new_publisher()
                self._publisher.publish(batch)
                return
            except SinkUnavailable as error:
                if (
                    self.over.is_set()
                    or time.monotonic() - begun + delay > self.options.give_up_after
                ):
                    raise
                if delay == 0.1:  # log the first failure only
                    _log.warning("%s; retrying for %g s", error, self.options.give_up_after)
            self.over.wait(delay)
            delay = min(delay * 2, 2.0)

    def _give_up(self, error: BaseException) -> None:
        """Drop the items in the queue; later items belong to bundles that continue."""
        waiting = len(self.items)
        self.error = error
        self.failures += 1
        for _ in range(waiting):
            self.items.popleft()
        self._close_publisher()  # the next batch gets a new publisher
        if self.on_given_up is not None:
            self.on_given_up(error)

    def _close_publisher(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is None:
            return
        try:
            publisher.close()
        except Exception as error:
            _log.warning("the sink could not be closed: %s", error)
