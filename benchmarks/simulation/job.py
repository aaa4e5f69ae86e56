"""Simulates a job and its provider on a virtual clock, without sockets and without sleeping.

The pace is the real `Pace`. The provider (`provider.py`) and the rest of the job are simulated:
rows are read as in `transforms.completions`, hold places as in `transforms.worker.capacity.room`,
and are sent as in `ritellm.rate_limits.gate`. `Fixed` replaces the pace by a setting that never
changes, to find the best such setting.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from benchmarks.simulation.clock import Clock
from benchmarks.simulation.provider import Provider, Server
from ritellm.rate_limits.pace import Limits, Pace, rest
from ritellm.rate_limits.sample import Permit

# Multiples of `max_in_flight`, as in `transforms.completions`: rows that are read ahead, and rows
# between two attempts that do not count as in flight.
_AT_HAND, _RESTING = 0.25, 2


class Driver(Protocol):
    """The part of a `Pace` that a job uses."""

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request may start; None if another must end first."""

    def start(self, now: float) -> Permit:
        """Return the permit of a request that starts."""

    def accepted(self, permit: Permit, now: float, headers: Mapping[str, str]) -> None:
        """Note an acceptance."""

    def refused(
        self, permit: Permit, now: float, retry_after: float | None, headers: Mapping[str, str]
    ) -> None:
        """Note a refusal."""

    def completed(self, permit: Permit, ttft: float | None, now: float) -> None:
        """Note a complete response."""

    def end(self, permit: Permit, now: float) -> None:
        """Note that a request has ended."""


class Fixed(Driver):
    """A setting that learns nothing: `window` requests in flight, `rate` a second if it is set."""

    def __init__(self, window: int, rate: float = 0.0) -> None:
        self.window, self.rate = window, rate
        self._in_flight, self._next = 0, 0.0

    def wait(self, now: float) -> float | None:
        """Return the seconds until a request may start."""
        return None if self._in_flight >= self.window else max(0.0, self._next - now)

    def start(self, now: float) -> Permit:
        """Return a permit."""
        self._in_flight += 1
        if self.rate:
            self._next = max(self._next, now) + 1 / self.rate
        return Permit(now)

    def end(self, permit: Permit, now: float) -> None:
        """Make room."""
        self._in_flight -= 1


@dataclass(slots=True)
class Row:
    """One row of a job."""

    refusals: int = 0
    joined: float = 0.0  # its queue
    waited: float = 0.0  # in queues, in total


@dataclass
class Outcome:
    """The outcome of a job of `rows`."""

    rows: int
    done: list[float] = field(default_factory=list)  # when each response was complete
    ttfts: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    longest_wait: float = 0.0  # of a row, in queues: neither resting nor in flight
    most_refusals: int = 0  # of a row

    @property
    def seconds(self) -> float:
        """Seconds until the last row was done; infinite if rows are missing."""
        return self.done[-1] if len(self.done) == self.rows else float("inf")

    @property
    def wasted(self) -> float:
        """The share of requests that were refused."""
        return len(self.refused) / max(1, len(self.sent))

    def goodput(self, share: float = 0.95) -> float:
        """Return the rows a second until `share` of them were done.

        The last rows do not count: one row that is refused ten times by chance decides when they
        end, with any pace.
        """
        count = int(self.rows * share)
        return count / self.done[count - 1] if len(self.done) >= count else 0.0

    def rate(self, begin: float, end: float) -> float:
        """Return the rows done per second between two times."""
        return sum(begin <= t < end for t in self.done) / (end - begin)

    def recovery(self, begin: float, end: float, share: float = 0.9) -> float:
        """Return the seconds from `end` until one second has `share` of the rate before `begin`."""
        old = self.rate(max(0.0, begin - 2), begin)
        times = (tenth / 10 for tenth in range(600))
        return next((t for t in times if self.rate(end + t, end + t + 1) >= share * old), 1e9)


class Job:
    """The rows of a job, sent to one provider as `gate` and `completions` do."""

    def __init__(
        self, server: Server, pace: Driver, rows: int, most: int, seed: int, clock: Clock
    ) -> None:
        self.found = Outcome(rows)
        self._server, self._pace, self._clock = server, pace, clock
        self._dice = random.Random(seed)
        self._provider = Provider(server, clock, random.Random(f"provider {seed}"))
        self._left = rows
        self._most, self._at_hand = most, most + max(8, int(most * _AT_HAND))
        self._taken = self._resting = 0  # rows that were read and are not done
        self._places = most
        self._without_place: deque[Row] = deque()
        self._queue: deque[Row] = deque()
        self._timer = 0  # the number of the newest timer; older timers do nothing

    def run(self, seconds: float) -> Outcome:
        """Run the job for at most `seconds`; return its outcome."""
        self._admit()
        self._clock.run(seconds, lambda: len(self.found.done) == self.found.rows)
        return self.found

    def _take(self) -> None:
        while (
            self._left and self._taken - min(self._resting, _RESTING * self._most) < self._at_hand
        ):
            self._left -= 1
            self._taken += 1
            self._join(Row())

    def _join(self, row: Row) -> None:
        """Queue a row for a place."""
        row.joined = self._clock.now
        self._without_place.append(row)
        self._give_places()

    def _give_places(self) -> None:
        while self._places and self._without_place:
            self._places -= 1
            row = self._without_place.popleft()
            # A retry goes first: it has waited longest.
            (self._queue.appendleft if row.refusals else self._queue.append)(row)

    def _admit(self) -> None:
        """Send all rows that may be sent now, and schedule the next check."""
        self._timer += 1
        self._give_places()
        self._take()
        while self._queue:
            wait = self._pace.wait(self._clock.now)
            if wait is None or wait > 0:
                self._check_again(wait)
                return
            self._send(self._queue.popleft())

    def _check_again(self, wait: float | None) -> None:
        number = self._timer
        if wait is not None:
            self._clock.after(wait, lambda: self._admit() if number == self._timer else None)

    def _send(self, row: Row) -> None:
        now = self._clock.now
        row.waited += now - row.joined
        self.found.longest_wait = max(self.found.longest_wait, row.waited)
        self.found.sent.append(now)
        permit = self._pace.start(now)
        self._clock.after(self._server.round_trip / 2, lambda: self._arrive(row, permit))

    def _arrive(self, row: Row, permit: Permit) -> None:
        provider, back = self._provider, self._server.round_trip / 2
        if not provider.takes():
            headers = provider.headers()
            self._clock.after(back, lambda: self._refused(row, permit, headers))
            return
        headers, factor = provider.headers(), provider.factor()
        first, whole = self._server.ttft * factor, self._server.seconds * factor
        self._clock.after(first + back, lambda: self._accepted(permit, headers))
        self._clock.after(whole, provider.leave)
        self._clock.after(whole + back, lambda: self._completed(permit, first + 2 * back))

    def _accepted(self, permit: Permit, headers: Mapping[str, str]) -> None:
        self._pace.accepted(permit, self._clock.now, headers)
        self._admit()

    def _completed(self, permit: Permit, ttft: float) -> None:
        now = self._clock.now
        self.found.done.append(now)
        self.found.ttfts.append(ttft)
        self._pace.completed(permit, ttft, now)
        self._pace.end(permit, now)
        self._taken -= 1
        self._places += 1
        self._admit()

    def _refused(self, row: Row, permit: Permit, headers: Mapping[str, str]) -> None:
        now, retry_after = self._clock.now, self._server.retry_after
        self.found.refused.append(now)
        self._pace.refused(permit, now, retry_after, headers)
        self._pace.end(permit, now)
        row.refusals += 1
        self.found.most_refusals = max(self.found.most_refusals, row.refusals)
        self._resting += 1
        self._places += 1
        self._clock.after(
            rest(row.refusals, retry_after, self._dice.random()), lambda: self._rested(row)
        )
        self._admit()

    def _rested(self, row: Row) -> None:
        self._resting -= 1
        self._join(row)
        self._admit()


def simulate(
    server: Server,
    pace: Driver | None = None,
    *,
    rows: int = 2000,
    most: int = 256,
    seconds: float = 3600.0,
    seed: int = 1,
) -> Outcome:
    """Return the outcome of `rows`, at most `most` in flight; the default pace is a new `Pace`."""
    clock = Clock()
    pace = Pace(Limits(most), clock.now) if pace is None else pace
    return Job(server, pace, rows, most, seed, clock).run(seconds)


class Setting(NamedTuple):
    """A setting that never changes, and its outcome."""

    window: int
    rate: float
    outcome: Outcome


def best_fixed(
    server: Server,
    *,
    rows: int = 2000,
    most: int = 256,
    seed: int = 1,
    windows: Iterable[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256),
    rates: Iterable[float] = (0.5, 0.95, 1.0),
) -> Setting:
    """Return the best of `windows` and `rates`, which are shares of the rate of the server.

    The best setting is the smallest that reaches the most rows a second.
    """
    limits = {min(most, window) for window in (*windows, server.cap or most, server.knee or most)}
    found: Setting | None = None
    for rate in (0.0, *(server.rate * share for share in rates if server.rate)):
        for window in sorted(limits):
            outcome = simulate(
                server,
                Fixed(window, rate),
                rows=rows,
                most=most,
                seed=seed,
                seconds=3600.0 if found is None else 1.1 * found.outcome.seconds,
            )
            if found is None or outcome.goodput() > 1.002 * found.outcome.goodput():
                found = Setting(window, rate, outcome)
    assert found is not None
    return found
