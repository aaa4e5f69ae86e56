"""The logs of the streams that this process reads: what has come and is not committed yet.

The event loop appends to a log, a bundle thread takes from it (`transforms.committed.shard`).

What holds:

- The items of a log keep their positions. Only items before a committed cursor are dropped.
- A log with `_MOST_ITEMS` items that are not dropped blocks its stream, so a consumer that is slow
  slows down the provider. The stream never stops: one read goes on every `_PATIENCE_SECONDS`.
  Otherwise three could wait for each other: the log for the commit of its bundle, the bundle for a
  transform behind it, and that transform for the place that the stream holds.
- A log that no bundle has touched for `_LINGER_SECONDS` is cancelled and dropped: its shard has
  moved to another process, or its prompt is complete.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from transforms.elements import Delta, Outcome
from transforms.worker.loop.event_loop import Loop, Work

_MOST_ITEMS = 1024
_LINGER_SECONDS = 120.0
_PATIENCE_SECONDS = 5.0


class Submission(NamedTuple):
    """A prompt on its way: `send(put)` puts its deltas and returns its last outcomes."""

    name: str
    send: Work[Outcome]


# submit(prompt, newer_than) names the next submission of a prompt, and does not send it yet.
Submit = Callable[[Any, str], Submission]


class StreamLog:
    """The items of a submission `name` of `prompt`, which is `encoded` in the state."""

    def __init__(
        self, name: str, prompt: Any, encoded: bytes, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._patience = patience
        self.name, self.prompt, self.encoded = name, prompt, encoded
        self.text: list[str] = []  # of the newest attempt
        self.touched = time.monotonic()
        self.taken = False  # whether a bundle has taken from it
        self.task: asyncio.Task[None] | None = None
        self.given_up = False
        self.is_broken = False
        self._attempt = 0
        self._items: list[Outcome] = []
        self._dropped = 0  # items that are committed and gone
        self._ended = False
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._space = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def after(self, cursor: int) -> Sequence[Outcome] | None:
        """Return the items after `cursor`; None if items are gone that the cursor is not past.

        Raises the unexpected error that ended the stream, once all items are taken. It fails the
        bundle, and the log is broken: the next bundle sends the prompt again.
        """
        self.touched, self.taken = time.monotonic(), True
        with self._lock:
            behind = cursor - self._dropped
            if not 0 <= behind <= len(self._items):
                return None
            found = self._items[behind:]
        if self._error is not None and not found:
            self.is_broken = True
            raise self._error
        return found

    def drop(self, cursor: int) -> None:
        """Drop the items before `cursor`, which are committed."""
        with self._lock:
            was_full = self.is_full
            behind = cursor - self._dropped
            if 0 < behind <= len(self._items):
                del self._items[:behind]
                self._dropped = cursor
        if was_full and self._loop is not None:
            self._loop.call_soon_threadsafe(self._space.set)

    def ends_at(self, cursor: int) -> bool:
        """Return whether no item will ever come after `cursor`."""
        with self._lock:
            at_end = cursor == self._dropped + len(self._items)
            return self._ended and self._error is None and at_end

    async def read(self, send: Work[Outcome]) -> None:
        """Fill the log with what `send` puts and returns. Runs on the event loop."""
        self._loop = asyncio.get_running_loop()
        last: Iterable[Outcome] = ()
        error: BaseException | None = None
        try:
            last = await send(self._put)
        except asyncio.CancelledError:
            error = RuntimeError("the stream was cancelled")
            raise
        except BaseException as unexpected:  # `after` raises it on the bundle thread
            error = unexpected
        finally:
            self._append(last, ended=True, error=error)

    @property
    def has_ended(self) -> bool:
        """Whether the stream brings nothing more."""
        return self._ended

    @property
    def is_full(self) -> bool:
        """Whether the stream waits until items are committed."""
        return len(self._items) >= _MOST_ITEMS

    async def _put(self, items: Iterable[Outcome]) -> None:
        if self.is_full:
            await self._wait_for_space()
        self._append(items)

    async def _wait_for_space(self) -> None:
        """Wait until items are dropped, at most `patience` seconds."""
        until = time.monotonic() + self._patience
        while self.is_full and (left := until - time.monotonic()) > 0:
            self._space.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._space.wait(), left)

    def _append(
        self, items: Iterable[Outcome], ended: bool = False, error: BaseException | None = None
    ) -> None:
        with self._lock:
            for item in items:
                self._items.append(item)
                if isinstance(item, Delta):
                    if item.attempt != self._attempt:
                        self._attempt = item.attempt
                        self.text.clear()
                    self.text.append(item.text)
            self._ended, self._error = ended, error


class ProcessLogs:
    """All logs of one process and transform. Usable from any thread."""

    def __init__(
        self,
        event_loop: Loop,
        submit: Submit,
        linger: float = _LINGER_SECONDS,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._event_loop, self._submit = event_loop, submit
        self._linger, self._patience = linger, patience
        self._logs: dict[Any, dict[tuple[int, int], StreamLog]] = {}
        self._lock = threading.Lock()
        self._next_sweep: asyncio.TimerHandle | None = None

    def of(self, shard: Any) -> dict[tuple[int, int], StreamLog]:
        """Return the logs of `shard` by the number of the prompt and of the submission."""
        with self._lock:
            return self._logs.setdefault(shard, {})

    @property
    def open(self) -> int:
        """The number of streams that have not ended."""
        with self._lock:
            return sum(not log.has_ended for logs in self._logs.values() for log in logs.values())

    def start(self, prompt: Any, encoded: bytes, newer_than: str) -> StreamLog:
        """Send a prompt, and return the log of that."""
        name, send = self._submit(prompt, newer_than)
        log = StreamLog(name, prompt, encoded, self._patience)
        begin = functools.partial(self._begin, log, send)
        self._event_loop.inbox.post(self._event_loop.start_queue.add, begin)
        return log

    def cancel(self, log: StreamLog) -> None:
        """End the stream of `log`; what it would bring is not wanted any more."""
        log.given_up = True
        self._event_loop.inbox.post(_cancel, log)

    def _begin(self, log: StreamLog, send: Work[Outcome]) -> None:
        if log.given_up:
            return
        log.task = self._event_loop.loop.create_task(log.read(send))
        if self._next_sweep is None:
            self._sweep_later()

    def close(self) -> None:
        """Cancel and drop all streams."""
        with self._lock:
            shards = list(self._logs.values())
            self._logs.clear()
        for log in [log for logs in shards for log in logs.values()]:
            self.cancel(log)
        self._event_loop.inbox.post(self._sweep)

    def _sweep(self) -> None:
        """Drop the logs that no bundle has touched for long. Runs on the event loop."""
        oldest = time.monotonic() - self._linger
        with self._lock:
            shards = list(self._logs.values())
        for logs in shards:
            for place, log in list(logs.items()):
                if log.touched < oldest:
                    logs.pop(place, None)
                    self.cancel(log)
        if self._next_sweep is not None:
            self._next_sweep.cancel()
            self._next_sweep = None
        if any(shards):
            self._sweep_later()

    def _sweep_later(self) -> None:
        # It also keeps this object, and the streams, while no DoFn does.
        self._next_sweep = self._event_loop.loop.call_later(self._linger / 4, self._sweep)


class ShardLogs:
    """The logs of one shard in this process; `stored(number)` returns a prompt as the state has it.

    A bundle makes one for the shard that it processes. No other bundle has the shard meanwhile.
    """

    def __init__(
        self,
        process: ProcessLogs,
        shard: Any,
        stored: Callable[[int], bytes],
        decode: Callable[[bytes], Any],
    ) -> None:
        self._process, self._stored, self._decode = process, stored, decode
        self._logs = process.of(shard)
        self._named = {(place[0], log.name): log for place, log in self._logs.items()}

    def find(self, number: int, name: str) -> StreamLog | None:
        """Return the log `name` of prompt `number`, None if it is not here or not usable."""
        log = self._named.get((number, name))
        return None if log is None or log.is_broken or log.given_up else log

    def begin(self, number: int, submission: int, newer_than: str) -> StreamLog:
        """Return the log of a submission of prompt `number`, and start it if no bundle has."""
        encoded = self._stored(number)
        log = self._logs.get((number, submission))
        # An earlier bundle that failed may have begun it, perhaps for another prompt.
        if log is None or log.encoded != encoded or log.is_broken or log.given_up:
            log = self._process.start(self._decode(encoded), encoded, newer_than)
            self._put((number, submission), log)
        self._named[number, log.name] = log
        return log

    def prompt_of(self, number: int, name: str) -> Any:
        """Return the prompt of a log that `find` or `begin` has returned."""
        return self._named[number, name].prompt

    def drop(self, needs: Callable[[int, int, str], bool]) -> None:
        """Drop the logs whose items are all committed, and those that a newer one has replaced.

        `needs(number, submission, name)` says whether the committed state may use a log. One that
        no bundle has taken from may be of a bundle that failed and is about to run again.
        """
        for (number, submission), log in list(self._logs.items()):
            if log.taken and not needs(number, submission, log.name):
                del self._logs[number, submission]
                self._named.pop((number, log.name), None)
                if not log.has_ended:
                    self._process.cancel(log)

    def has_full(self) -> bool:
        """Return whether a stream waits until this bundle is committed."""
        return any(log.is_full for log in self._logs.values())

    def give_up(self, number: int, name: str) -> StreamLog | None:
        """End the stream of a prompt; return its log."""
        log = self.find(number, name)
        if log is not None:
            self._process.cancel(log)
        return log

    def _put(self, place: tuple[int, int], log: StreamLog) -> None:
        replaced = self._logs.get(place)
        if replaced is not None:
            self._process.cancel(replaced)
        self._logs[place] = log


def _cancel(log: StreamLog) -> None:
    if log.task is not None:
        log.task.cancel()
