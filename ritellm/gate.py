"""Where requests of one event loop wait for their turn: `Pace` decides, this wakes them up.

Given to an AsyncClient as `gate`, it admits every attempt, retries included, in the order in which
they came. A throttled attempt goes back to the end of the line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from ritellm.errors import RateLimitError, RitellmError, Timeout
from ritellm.pacing import Limits, Pace
from ritellm.retry import is_throttle
from ritellm.types import Endpoint, Request

# Characters of JSON per token, for reserving: low, so that the reserve is rather too large.
_CHARS_PER_TOKEN = 3.0
# What an answer is reserved for where nobody set `max_tokens`.
_USUAL_ANSWER = 512


class Gate:
    """The lanes of one event loop: one for each (address, key, model)."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held_back = 0.0  # seconds that others have kept requests waiting before they came here
        self._lanes: dict[tuple[str, str | None, str], Lane] = {}

    def lane(self, endpoint: Endpoint, model: str) -> Lane:
        """Return where requests to `model` at `endpoint` wait."""
        key = (endpoint.base_url, endpoint.key, model)
        if key not in self._lanes:
            self._lanes[key] = Lane(self.limits, endpoint.provider.name, model)
        return self._lanes[key]

    @property
    def throttled(self) -> int:
        """How often a provider said "slow down"."""
        return sum(lane.pace.throttled for lane in self._lanes.values())

    @property
    def waited(self) -> float:
        """Seconds that requests have waited, here or before, to be sent no faster than allowed."""
        return self.held_back + sum(lane.waited for lane in self._lanes.values())

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return sum(lane.pace.in_flight for lane in self._lanes.values())

    @property
    def calm(self) -> bool:
        """Whether nobody waits here, and no provider has said "slow down" lately."""
        lanes = self._lanes.values()
        return all(lane.pace.calm(lane.now()) and not lane.has_line for lane in lanes)

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        if not self._lanes:
            return self.limits.max_in_flight
        return sum(lane.pace.allowed for lane in self._lanes.values())


class Lane:
    """The line before one provider."""

    def __init__(self, limits: Limits, provider: str, model: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._provider, self._model = provider, model
        self._line: deque[tuple[asyncio.Future[float], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.pace = Pace(limits, self._loop.time())
        self.waited = 0.0

    async def enter(self, request: Request) -> Passage:
        """Return once `request` may be sent; raises RateLimitError when that is hopeless."""
        tokens = estimated_tokens(request) if self.pace.limits.tpm else 0.0
        arrived = self._loop.time()
        turn: asyncio.Future[float] = self._loop.create_future()
        self._line.append((turn, tokens))
        self._admit()
        try:
            started = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(tokens, None)
            raise
        self.waited += started - arrived
        return Passage(self, started, tokens)

    @property
    def has_line(self) -> bool:
        """Whether anybody waits."""
        return any(not turn.done() for turn, _ in self._line)

    def now(self) -> float:
        """The loop's time, which the pace counts in."""
        return self._loop.time()

    def leave(self, reserved: float, used: float | None) -> None:
        """Make room for the next."""
        self.pace.end(self._loop.time(), reserved, used)
        self._admit()

    def _admit(self) -> None:
        """Let in all whose turn it is, and look again when the next one's may be."""
        now = self._loop.time()
        hopeless = self.pace.hopeless(now)
        while self._line:
            turn, tokens = self._line[0]
            if turn.done():
                self._line.popleft()
                continue
            if hopeless is not None:
                self._line.popleft()
                turn.set_exception(self._given_up(hopeless))
                continue
            wait = self.pace.wait(now, tokens)
            if wait is None or wait > 0:
                self._look_again(wait)
                return
            self._line.popleft()
            self.pace.start(now, tokens)
            turn.set_result(now)

    def _given_up(self, seconds: float) -> RateLimitError:
        return RateLimitError(
            f"gave up: for {seconds:.0f} s the provider has refused every request",
            code="breaker_open",
            provider=self._provider,
            model=self._model,
        )

    def _look_again(self, wait: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait is not None:
            self._timer = self._loop.call_later(wait, self._admit)


class Passage:
    """One attempt that was let in; tells the lane what came of it."""

    __slots__ = ("_answered", "_lane", "_reserved", "_started")

    def __init__(self, lane: Lane, started: float, reserved: float) -> None:
        self._lane = lane
        self._started = started
        self._reserved = reserved
        self._answered = False

    def answered(self, headers: Mapping[str, str]) -> None:
        """Note that the provider took the request."""
        self._answered = True
        self._lane.pace.accepted(self._started, _now(), headers)
        self._lane._admit()

    def over(self, error: RitellmError | None, usage: Mapping[str, Any] | None) -> None:
        """Note how the attempt ended."""
        pace, now = self._lane.pace, _now()
        if error is not None and is_throttle(error):
            pace.refused(self._started, now, error.retry_after)
        elif isinstance(error, Timeout):
            pace.overloaded(self._started, now)
        elif not self._answered:
            pace.abandoned(self._started)
        used = (usage or {}).get("total_tokens")
        self._lane.leave(self._reserved, used if used is not None else None)


def estimated_tokens(request: Request) -> float:
    """Return the tokens to reserve for `request`: its text, and the longest answer it allows."""
    text = sum(len(str(message.get("content") or "")) for message in request.messages)
    params = request.params
    answer = params.get("max_completion_tokens") or params.get("max_tokens") or _USUAL_ANSWER
    return text / _CHARS_PER_TOKEN + float(answer)


def _now() -> float:
    return asyncio.get_running_loop().time()
