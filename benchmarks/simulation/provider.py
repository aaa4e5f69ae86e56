"""Simulates a provider on a virtual clock: its refusals, and the time of its responses."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from benchmarks.simulation.clock import Clock

_NO_HEADERS: Mapping[str, str] = {}


class Dip(NamedTuple):
    """The provider accepts at most `cap` requests in flight from `begin` to `end`."""

    begin: float
    end: float
    cap: int


NO_DIP = Dip(0.0, 0.0, 0)


@dataclass(frozen=True)
class Server:
    """How a provider behaves. Each field is a cause of refusals or of waiting; 0 disables it.

    A response takes `seconds`, its first chunk `ttft`, and a request `round_trip` on the wire.
    """

    noise: float = 0.0  # this share of requests is refused at random
    replicas: int = 0  # requests go to this many replicas in turn; one of them refuses all
    cap: int = 0  # more requests in flight are refused
    rate: float = 0.0  # requests a second, counted by a token bucket
    depth: float = 50.0  # requests that the bucket holds
    storm: tuple[float, float] = (0.0, 0.0)  # all requests are refused from ... until ...
    dip: Dip = NO_DIP
    knee: int = 0  # with more requests in flight, all take longer in proportion
    retry_after: float | None = None  # the header of a refusal
    headers: bool = False  # x-ratelimit-remaining-requests and -reset-requests
    seconds: float = 0.34
    ttft: float = 0.30
    spread: Literal["constant", "uniform", "exponential"] = "constant"  # of `seconds` and `ttft`
    round_trip: float = 0.002


class Provider:
    """The state of a `Server`."""

    def __init__(self, server: Server, clock: Clock, dice: random.Random) -> None:
        self.server = server
        self.in_flight = 0
        self._clock, self._dice = clock, dice
        self._level, self._filled = server.depth, 0.0
        self._turn = 0

    def takes(self) -> bool:
        """Return whether it accepts the next request."""
        accepted = self._is_up() and self._has_room() and self._has_token()
        self.in_flight += accepted
        return accepted

    def leave(self) -> None:
        """Note that a response has ended."""
        self.in_flight -= 1

    def factor(self) -> float:
        """Return the duration of the newest response, as a multiple of the usual one."""
        server, factor = self.server, 1.0
        if server.knee:
            factor = max(1.0, self.in_flight / server.knee)
        if server.spread == "uniform":
            factor *= 0.5 + self._dice.random()
        elif server.spread == "exponential":
            factor *= self._dice.expovariate(1.0)
        return factor

    def headers(self) -> Mapping[str, str]:
        """Return the limit headers of a response."""
        server = self.server
        if not (server.rate and server.headers):
            return _NO_HEADERS
        return {
            "x-ratelimit-remaining-requests": str(int(self._level)),
            "x-ratelimit-reset-requests": f"{(server.depth - self._level) / server.rate:.3f}s",
        }

    def _is_up(self) -> bool:
        server = self.server
        if server.storm[0] <= self._clock.now < server.storm[1]:
            return False
        if server.noise and self._dice.random() < server.noise:
            return False
        self._turn += 1
        return not server.replicas or self._turn % server.replicas != 0

    def _has_room(self) -> bool:
        server = self.server
        if server.dip.begin <= self._clock.now < server.dip.end:
            return self.in_flight < server.dip.cap
        return not server.cap or self.in_flight < server.cap

    def _has_token(self) -> bool:
        server, now = self.server, self._clock.now
        if not server.rate:
            return True
        gained = (now - self._filled) * server.rate
        self._level, self._filled = min(server.depth, self._level + gained), now
        accepted = self._level >= 1
        self._level -= accepted
        return accepted
