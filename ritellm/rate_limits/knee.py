"""Where more requests in flight only wait longer: the knee of a server that queues. Pure.

The problem: a server that never refuses (a vLLM that queues) answers no more requests a second
with 256 in flight than with 64. Each only waits four times as long for its first chunk.

The idea: the time to the first chunk is compared with the shortest that was seen. Once it is much
longer, the window falls to `_LESS` of what it was, as a trial. Where the server queues, the rate
stays and the time falls; then the window stays, too. Otherwise the time has another cause, such as
longer prompts: the window returns, and that time is the one to compare with from then on.

    WATCHING --time has grown--> TRYING --rate fell, or time did not--> WATCHING, as before
        ^                          |
        +--rate stayed, time fell--+  (with less; a little more is allowed now and then)

Times are medians over batches of requests that started one after the other, in seconds. The first
batch starts before there can be a queue.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

# The time to the first chunk that begins a trial, as a multiple of the shortest.
_LONGER = 1.6
# The part of the window that a trial keeps; what its time and its rate must come to.
_LESS, _SHORTER, _SAME_RATE = 0.7, 0.85, 0.86
# Requests in a batch, and the part of them whose answers are waited for.
_FEWEST, _MOST, _ANSWERED = 16, 128, 0.9
# Batches between a trial that has failed and the next, doubled each time.
_REST = 2
# A window that has fallen grows by this factor after so many batches with short times.
_MORE, _AFTER = 1.1, 4
# The part of a window that is as good as full.
_FULL = 0.9


@dataclass(slots=True)
class _Batch:
    """`size` requests that started one after the other, the first of them number `first`."""

    first: int
    size: int
    began: float
    times: list[float] = field(default_factory=list)
    ends: int = 0  # of any request, since it began
    full: int = 0  # of these, while the window was full
    lost: int = 0  # requests of the batch that will never be answered

    def has(self, number: int) -> bool:
        """Return whether request `number` belongs to the batch."""
        return self.first <= number < self.first + self.size


@dataclass(frozen=True, slots=True)
class _Measure:
    """What a batch has shown: seconds to the first chunk, requests answered a second."""

    ttft: float
    rate: float


@dataclass(frozen=True, slots=True)
class _Trial:
    ceiling: float  # to return to
    before: _Measure


class Knee:
    """`ceiling` is the number of requests in flight beyond which they would only queue."""

    def __init__(self, most: int, now: float) -> None:
        self.most = float(most)
        self.ceiling = self.most
        self._started = 0
        self._shortest: float | None = None
        self._trial: _Trial | None = None
        self._draining = False
        self._rest, self._next_rest = 0, _REST  # batches until the next trial
        self._short = 0  # batches in a row that were
        self._batch = _Batch(0, _FEWEST, now)

    @property
    def queueing(self) -> bool:
        """Whether the server, by its queue, limits what is in flight."""
        return self.ceiling < self.most

    def started(self) -> int:
        """Note that a request starts; return its number, for `answered`."""
        self._started += 1
        return self._started - 1

    def reset(self, now: float) -> None:
        """Forget the batch under way, and the trial: something else has changed the window."""
        if self._trial is not None:
            self.ceiling, self._trial = self._trial.ceiling, None
        self._draining = False
        self._begin_batch(now)

    def answered(self, number: int, ttft: float, in_flight: int, size: float, now: float) -> None:
        """Note the answer to a request; `in_flight` were, of at most `size`."""
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
        if len(batch.times) < _ANSWERED * (batch.size - batch.lost):
            return
        if batch.lost < batch.size / 2:
            self._judge(batch, now)
        self._begin_batch(now)

    def lost(self, number: int) -> None:
        """Note that a request is over without an answer: its batch does not wait for it."""
        self._batch.lost += self._batch.has(number)

    def _begin_batch(self, now: float) -> None:
        size = int(min(_MOST, max(_FEWEST, self.ceiling)))
        self._batch = _Batch(self._started, size, now)

    def _judge(self, batch: _Batch, now: float) -> None:
        found = _Measure(statistics.median(batch.times), batch.ends / max(1e-9, now - batch.began))
        if self._shortest is None:
            self._shortest = found.ttft
        if batch.full < _FULL * batch.ends:
            return  # the window has not limited it
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
