"""The knee of a server that queues: beyond it, more requests in flight only wait longer. Pure.

The problem: a server that queues instead of refusing (such as vLLM) completes no more requests per
second with 256 in flight than with 64. Each request only waits four times as long for its first
chunk.

The idea: compare the time to the first chunk with the shortest so far. Once it is much longer, a
trial lowers the ceiling to `_LESS` of its value. If the server queues, the rate stays and the time
falls; then the ceiling stays low. Otherwise the time has another cause, such as longer prompts: the
ceiling returns, and the next trial comes later.

    WATCHING --time has grown--> TRYING --rate fell, or time did not--> WATCHING, as before
        ^                          |
        +--rate stayed, time fell--+  (with less; now and then the ceiling rises a little)

Times are medians over batches of requests that started one after the other, in seconds. The first
batch starts before a queue can exist.

Invariants: 1 <= ceiling <= most. Only batches during which the window was full count.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

# The time to the first chunk that begins a trial, as a multiple of the shortest.
_LONGER = 1.6
# The part of the ceiling that a trial keeps; the parts of the time and the rate that prove a queue.
_LESS, _SHORTER, _SAME_RATE = 0.7, 0.85, 0.86
# Requests in a batch, and the part of them that must be complete before it counts.
_FEWEST, _MOST, _COMPLETED = 16, 128, 0.9
# Batches between a failed trial and the next, doubled each time.
_REST = 2
# A lowered ceiling rises by `_MORE` after `_AFTER` batches with short times.
_MORE, _AFTER = 1.1, 4
# A window is full from this part of its size.
_FULL = 0.9


@dataclass(slots=True)
class _Batch:
    """`size` requests that started one after the other, the first of them number `first`."""

    first: int
    size: int
    began: float
    times: list[float] = field(default_factory=list)
    ends: int = 0  # responses to any request since the batch began
    full: int = 0  # those that came while the window was full
    lost: int = 0  # requests of the batch that ended without a response

    def has(self, number: int) -> bool:
        """Return whether request `number` belongs to the batch."""
        return self.first <= number < self.first + self.size


@dataclass(frozen=True, slots=True)
class _Measure:
    """The result of a batch: seconds to the first chunk, requests completed per second."""

    ttft: float
    rate: float


@dataclass(frozen=True, slots=True)
class _Trial:
    ceiling: float  # to return to
    before: _Measure


class Knee:
    """Finds `ceiling`, the number of requests in flight beyond which requests only queue."""

    def __init__(self, most: int, now: float) -> None:
        self.most = float(most)
        self.ceiling = self.most
        self._started = 0
        self._shortest: float | None = None
        self._trial: _Trial | None = None
        self._draining = False
        self._rest, self._next_rest = 0, _REST  # batches until the next trial
        self._short = 0  # consecutive batches without a longer time
        self._batch = _Batch(0, _FEWEST, now)

    def allow(self, most: int) -> None:
        """Allow `most` requests in flight, unless the server queues them."""
        queueing = self.queueing
        self.most = float(most)
        if not queueing:
            self.ceiling = self.most

    @property
    def queueing(self) -> bool:
        """Whether the server's queue limits the requests in flight."""
        return self.ceiling < self.most

    def started(self) -> int:
        """Record that a request starts; return its number, for `completed`."""
        self._started += 1
        return self._started - 1

    def reset(self, now: float) -> None:
        """Discard the current batch and trial, because something else has changed the window."""
        if self._trial is not None:
            self.ceiling, self._trial = self._trial.ceiling, None
        self._draining = False
        self._begin_batch(now)

    def completed(self, number: int, ttft: float, in_flight: int, size: float, now: float) -> None:
        """Record the response to a request, with `in_flight` of at most `size` in flight."""
        if self._draining:
            if in_flight > self.ceiling:
                return
            self._draining = False
            self._begin_batch(now)
        batch = self._batch
        batch.ends += 1
        batch.full += in_flight >= _FULL * int(size)
        if batch.has(number):
            batch.times.append(ttft)
        if len(batch.times) < _COMPLETED * (batch.size - batch.lost):
            return
        if batch.lost < batch.size / 2:
            self._judge(batch, now)
        self._begin_batch(now)

    def lost(self, number: int) -> None:
        """Record that a request ended without a response, so that its batch can complete."""
        self._batch.lost += self._batch.has(number)

    def _begin_batch(self, now: float) -> None:
        size = int(min(_MOST, max(_FEWEST, self.ceiling)))
        self._batch = _Batch(self._started, size, now)

    def _judge(self, batch: _Batch, now: float) -> None:
        found = _Measure(statistics.median(batch.times), batch.ends / max(1e-9, now - batch.began))
        if self._shortest is None:
            self._shortest = found.ttft
        if batch.full < _FULL * batch.ends:
            return  # the window was not full, so it does not explain the time
        if self._trial is not None:
            self._end_trial(self._trial, found)
        self._shortest = min(self._shortest, found.ttft)
        self._rest -= 1
        if found.ttft > _LONGER * self._shortest and self._rest < 0:
            self._trial = _Trial(self.ceiling, found)
            self.ceiling = max(1.0, self.ceiling * _LESS)
            self._draining, self._short = True, 0
            return
        self._short += 1
        if self._short >= _AFTER and self.queueing:
            self.ceiling, self._short = min(self.most, self.ceiling * _MORE), 0

    def _end_trial(self, trial: _Trial, found: _Measure) -> None:
        self._trial = None
        shorter = found.ttft <= _SHORTER * trial.before.ttft
        if shorter and found.rate >= _SAME_RATE * trial.before.rate:
            self._next_rest = _REST
            return
        self.ceiling = trial.ceiling
        self._rest, self._next_rest = self._next_rest, self._next_rest * 2
