"""A job at a pretended provider, by a clock that only the job turns: no sockets, no sleeping."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ritellm.rate_limits.pace import Limits, Pace, rest


class Refusal(NamedTuple):
    """What a provider says instead of taking a request."""

    retry_after: float | None = None
    headers: Mapping[str, str] = {}


# Called with the time and with the requests in flight; returns a refusal, or None to accept.
Provider = Callable[[float, int], Refusal | None]


class Job:
    """Sends rows as fast as a `Pace` allows; each refused one rests by itself and is sent again.

    A response takes `hold` seconds, a refusal and an acceptance take `told` seconds. Each timer
    fires `late` seconds after its time.
    """

    def __init__(
        self,
        provider: Provider,
        max_in_flight: int = 64,
        hold: float = 0.3,
        told: float = 0.02,
        late: float = 0.0,
    ) -> None:
        self.pace = Pace(Limits(max_in_flight), now=0.0)
        self.now = 0.0
        self.sent = self.refused = self.done = 0
        self.allowed: list[tuple[float, int]] = []  # after each end
        self._provider, self._hold, self._told, self._late = provider, hold, told, late
        self._open = 0  # requests that the provider has accepted
        self._again: list[int] = []  # refusals so far of those that may be sent again
        self._new = 0
        self._looks_at = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def run(self, rows: int, until: float = 600.0) -> Job:
        """Send `rows` more and turn the clock until all are done, or it shows `until`."""
        self._new += rows
        goal = self.done + rows
        self._send()
        while self._events and self.done < goal and self._events[0][0] <= until:
            self.now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)
            self._send()
        return self

    def _after(self, seconds: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happen, arguments))

    def _send(self) -> None:
        while self._again or self._new:
            wait = self.pace.wait(self.now)
            if wait is None:
                return
            if wait > 0:
                self._look_again(wait)
                return
            self._start()

    def _look_again(self, seconds: float) -> None:
        then = self.now + max(seconds, 1e-6) + self._late
        if not self.now < self._looks_at <= then:
            self._looks_at = then
            self._after(then - self.now, lambda: None)

    def _start(self) -> None:
        refusals = self._again.pop() if self._again else 0
        self._new -= not refusals
        permit = self.pace.start(self.now)
        self.sent += 1
        refusal = self._provider(self.now, self._open)
        if refusal is None:
            self._open += 1
            self._after(self._told, lambda: self.pace.accepted(permit, self.now, {}))
            self._after(self._hold, self._complete, permit)
        else:
            self._after(self._told, self._refuse, permit, refusal, refusals + 1)

    def _complete(self, permit: Any) -> None:
        self._open -= 1
        self.done += 1
        self.pace.completed(permit, self._told, self.now)
        self.pace.end(permit, self.now)
        self.allowed.append((self.now, self.pace.allowed))

    def _refuse(self, permit: Any, refusal: Refusal, refusals: int) -> None:
        self.refused += 1
        self.pace.refused(permit, self.now, refusal.retry_after, refusal.headers)
        self.pace.end(permit, self.now)
        self._after(rest(refusals, refusal.retry_after, 0.5), self._again.append, refusals)
