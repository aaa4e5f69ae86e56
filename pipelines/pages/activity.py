"""Requests in flight over time, how many were allowed, and what held the job back.

A thread of the job's process looks at its gates a few times per second. So this is known of jobs
that run in one process. Of other jobs the report has the refusals and waits by reason, which their
workers count (`transforms.pacing`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pipelines.pages.timeline import Timeline
from transforms.metrics import TALLY, Tally
from transforms.progress.brakes import tightest_first

_SECONDS_BETWEEN = 0.25


class Looks:
    """What some looks at the gates saw."""

    __slots__ = ("allowed", "in_flight", "looks", "most", "reasons")

    def __init__(self) -> None:
        self.looks = 0
        self.in_flight = 0  # summed over the looks, as is `allowed`
        self.allowed = 0
        self.most = 0  # in flight at one look
        self.reasons: Counter[str] = Counter()

    def add(self, in_flight: int, allowed: int, reason: str | None) -> None:
        """Add one look; `reason` is what held the job back most, None for nothing."""
        self.looks += 1
        self.in_flight += in_flight
        self.allowed += allowed
        self.most = max(self.most, in_flight)
        if reason is not None:
            self.reasons[reason] += 1

    def merge(self, other: Looks) -> None:
        """Add the looks of `other`."""
        self.looks += other.looks
        self.in_flight += other.in_flight
        self.allowed += other.allowed
        self.most = max(self.most, other.most)
        self.reasons.update(other.reasons)


class Activity:
    """Watches the gates of this process until its `with` block ends."""

    def __init__(
        self, tally: Tally = TALLY, clock: Callable[[], float] = time.time, seconds: float = 0.0
    ) -> None:
        self.timeline: Timeline[Looks] = Timeline(Looks)
        self._tally = tally
        self._clock = clock
        self._seconds = seconds or _SECONDS_BETWEEN
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="activity", daemon=True)

    def __enter__(self) -> Activity:
        _current.append(self)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        _current.remove(self)

    def look(self) -> None:
        """Look at the gates now."""
        gates = list(self._tally.gates)
        if not gates:
            return
        brakes = tightest_first(brake for gate in gates for brake in gate.brakes)
        reason = brakes[0].reason if brakes else None
        in_flight = sum(gate.in_flight for gate in gates)
        with self._lock:
            looks = self.timeline.at(self._clock())
            looks.add(in_flight, sum(gate.allowed for gate in gates), reason)

    def points(self) -> list[dict[str, Any]]:
        """Return what was seen, by time, as JSON objects."""
        with self._lock:
            return [
                {
                    "t": start,
                    "in_flight": looks.in_flight / looks.looks,
                    "allowed": looks.allowed / looks.looks,
                    "most": looks.most,
                    "reasons": {name: n / looks.looks for name, n in looks.reasons.items()},
                }
                for start, looks in self.timeline
            ]

    @property
    def width(self) -> float:
        """The seconds of a point."""
        return self.timeline.width

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.look()


_current: list[Activity] = []


def current() -> Activity | None:
    """Return what the job of this process has seen so far, None if nothing looks."""
    return _current[-1] if _current else None
