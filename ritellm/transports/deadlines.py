"""How long each step of one request may take: to connect, to send, to read.

The asynchronous face limits connecting only; its watchdog watches over everything else. The
synchronous face has no watchdog, so its transport must observe the deadlines of the call, which
move with every chunk. So a transport gets an object instead of numbers, and queries it for the
seconds that remain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ritellm.calls.call import Call
from ritellm.transports.sockets import DRAIN_SECONDS, MOMENT_SECONDS


class Cadence(Protocol):
    """How often to read a body whose single pieces are not urgent."""

    def pause(self, now: float) -> float:
        """Return the seconds for which the kernel may gather what arrives."""

    def parse_delay(self) -> float:
        """Return the seconds for which bytes that were read may stay unparsed."""


class Deadlines:
    """Limits of the asynchronous face: `connect` seconds to connect, none to read.

    With a `cadence`, a transport may read the body now and then instead of at once.
    """

    def __init__(self, connect: float | None, cadence: Cadence | None = None) -> None:
        self.connect = connect
        self.cadence = cadence

    @classmethod
    def of(cls, call: Call) -> Deadlines:
        """Return the limits for the attempt of `call` that begins now."""
        return cls(call.plan.timeouts.connect, call if call.plan.request.buffer.seconds else None)

    @property
    def write(self) -> float | None:
        """The seconds that each write may take."""
        return self.connect

    @property
    def longest_read(self) -> float | None:
        """The most seconds that any read may take, for a transport that takes only a number."""
        return None

    def connect_by(self, now: float) -> float | None:
        """Return when a connection that is begun at `now` must be ready; None without a limit."""
        return None if self.connect is None else now + self.connect

    def left_to_read(self) -> float | None:
        """Return the seconds that remain for the read that begins now."""
        return None


# What has arrived by the deadline is read in at most this many steps, of a moment each.
_LATE_READS = 64

T = TypeVar("T")


class Grace:
    """Lets what has arrived by the deadline be read after it: the process may have been stopped."""

    def __init__(self) -> None:
        self._late = 0  # reads in a row after the deadline

    def read(
        self,
        read: Callable[[float | None], T],
        left: Callable[[], float | None],
        expired: type[Exception],
    ) -> T:
        """Return what `read(seconds)` returns, while `left()` seconds remain.

        `read` raises `expired` in vain. Once the time is up, it may look for a moment; then this
        raises `expired`.
        """
        while True:
            seconds = left()
            if seconds is None or seconds > 0:
                self._late = 0
            else:
                self._late += 1
                if self._late > _LATE_READS:
                    raise expired("no time left")
                return read(MOMENT_SECONDS)
            try:
                return read(seconds)
            except expired:
                if (remaining := left()) is None or remaining > 0:
                    raise


class StepDeadlines(Deadlines):
    """The same number of seconds for each step."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._seconds = seconds

    @property
    def longest_read(self) -> float:
        """The seconds of a step."""
        return self._seconds

    def left_to_read(self) -> float:
        """Return the seconds of a step."""
        return self._seconds


class CallDeadlines(Deadlines):
    """The limits of the synchronous face: reading ends when the deadline of the call passes."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.plan.timeouts.connect)
        self._call = call
        self._drain_ends: float | None = None

    @property
    def longest_read(self) -> float:
        """The longer one of the two timeouts for chunks; a day if there is none."""
        limits = self._call.plan.timeouts
        known = [x for x in (limits.first_chunk, limits.inter_chunk) if x is not None]
        return max(known, default=86_400.0)

    def connect_by(self, now: float) -> float | None:
        """Return the earlier end of `connect` and of the call's `total`; None without both."""
        total = self._call.plan.timeouts.total
        ends = [] if (limit := super().connect_by(now)) is None else [limit]
        if total is not None:
            ends.append(self._call.timing.started + total)
        return min(ends, default=None)

    def drain(self) -> None:
        """Replace the deadline: the end of the body must come soon."""
        self._drain_ends = time.monotonic() + DRAIN_SECONDS

    def left_to_read(self) -> float | None:
        """Return the seconds to the deadline of the call, which each chunk moves."""
        ends = self._drain_ends
        if ends is None:
            deadline = self._call.deadline
            if deadline is None:
                return None
            ends = deadline[0]
        return ends - time.monotonic()
