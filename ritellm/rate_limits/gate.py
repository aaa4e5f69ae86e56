"""Where requests of one event loop wait for their turn: `Pace` decides, this wakes them up.

Given to an AsyncClient as `gate`, it admits every attempt, retries included, in the order in which
they came; those that were sent before go first. An attempt that failed rests here before the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import RateLimitError, RitellmError, Timeout
from ritellm.rate_limits.pace import REASONS, Brake, Limits, Pace, Reason
from ritellm.rate_limits.sample import Permit
from ritellm.retry import is_throttle
from ritellm.token_estimate import estimate_request
from ritellm.types import Request

# Where these make requests wait, more workers would not make the job faster.
_BY_THE_PROVIDER: tuple[Reason, ...] = ("pause", "limit", "rate", "queue")
# A queue that was held back so many seconds ago still is: requests come and go.
_LATELY = 1.0
# The tokens reserved for a completion that no parameter limits. A budget reserves more: it must not
# be exceeded, whereas a rate limit that was estimated too low costs one refusal.
_USUAL_COMPLETION = 512


class Gate:
    """The queues of one event loop: one for each (address, key, model)."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held_back = 0.0  # seconds that others have kept requests waiting before they came here
        self._queues: dict[tuple[str, str | None, str], Queue] = {}

    def queue(self, endpoint: Endpoint, model: str) -> Queue:
        """Return where requests to `model` at `endpoint` wait."""
        key = (endpoint.base_url, endpoint.key, model)
        if key not in self._queues:
            self._queues[key] = Queue(self.limits, endpoint.provider.name, model)
        return self._queues[key]

    @property
    def throttled(self) -> int:
        """How often a provider said "not now"."""
        return sum(queue.pace.refusals for queue in self._all())

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return sum(queue.pace.sent for queue in self._all())

    @property
    def refused_by(self) -> dict[Reason, int]:
        """How many requests were refused, by what the provider did at the time."""
        return {r: sum(queue.pace.refused_by[r] for queue in self._all()) for r in REASONS}

    @property
    def held_for(self) -> dict[Reason, float]:
        """The seconds that requests have waited for each reason, the sum of all queues."""
        return {r: sum(queue.held_for[r] for queue in self._all()) for r in REASONS}

    @property
    def brakes(self) -> list[Brake]:
        """What holds the job back at the moment: nothing, where the list is empty."""
        found = (queue.brake() for queue in self._all())
        return [brake for brake in found if brake is not None]

    @property
    def waited(self) -> float:
        """Seconds that requests have waited, here or before, for the provider to take them.

        The sum over all requests. The caller's own `Limits` do not count, and neither does the rest
        of a request that was refused alone.
        """
        return self.held_back + sum(queue.waited for queue in self._all())

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return sum(queue.pace.in_flight for queue in self._queues.values())

    @property
    def calm(self) -> bool:
        """Whether nobody waits here, and no provider has said "slow down" lately."""
        queues = self._queues.values()
        return all(queue.pace.calm(queue.now()) and not queue.has_line for queue in queues)

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        if not self._queues:
            return self.limits.max_in_flight
        return sum(queue.pace.allowed for queue in self._queues.values())

    def _all(self) -> list[Queue]:
        """The queues; other threads look at them, too."""
        return list(self._queues.values())


class Queue:
    """The line before one provider. Those that were refused stand first: they have waited most."""

    def __init__(self, limits: Limits, provider: str, model: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._provider, self._model = provider, model
        self._line: deque[tuple[asyncio.Future[Permit], float]] = deque()
        self._resting: list[tuple[Permit, asyncio.Future[None]]] = []
        self._accepted = float("-inf")  # when the newest request started that was accepted
        self._timer: asyncio.TimerHandle | None = None
        self.pace = Pace(limits, self._loop.time())
        self.waited = 0.0
        self.held_for: dict[Reason, float] = dict.fromkeys(REASONS, 0.0)
        self._holds: Reason | None = None  # what keeps the line waiting
        self._counted = 0.0  # that counts until then
        self._held: tuple[float, Reason | None] = (float("-inf"), None)  # when, and by what

    async def enter(self, request: Request, again: bool = False) -> Admission:
        """Return once `request` may be sent; raises RateLimitError when that is hopeless."""
        tokens = estimated_tokens(request) if self.pace.limits.tpm else 0.0
        turn: asyncio.Future[Permit] = self._loop.create_future()
        (self._line.appendleft if again else self._line.append)((turn, tokens))
        self._admit()
        try:
            permit = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(turn.result(), None)
            raise
        return Admission(self, permit)

    async def rest(self, failed: Permit, least: float, most: float) -> bool:
        """Return after `least` seconds if by then the provider has taken another request.

        Else once it has, and after `most` seconds at the latest. Returns whether it has: a request
        that started after `failed` did was accepted, so that what failed was this one alone.
        """
        await asyncio.sleep(least)
        if self._accepted <= failed.started and most > least:
            await self._acceptance(failed, most - least)
        return self._accepted > failed.started

    def brake(self) -> Brake | None:
        """Return what holds requests back: nothing, where none waits and none is refused."""
        now = self.now()
        brake, (when, holds) = self.pace.brake(now), self._held
        if now - when > _LATELY and not self.has_line:
            holds = None
        if holds in ("rpm", "tpm"):
            return Brake(holds, self.pace.allowed, brake.refused if brake else 0.0, 0.0)
        return brake if brake and (holds or brake.reason in ("pause", "noise")) else None

    @property
    def has_line(self) -> bool:
        """Whether any request waits."""
        return any(not turn.done() for turn, _ in self._line)

    def now(self) -> float:
        """The loop's time, which the pace counts in."""
        return self._loop.time()

    def accepted(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Note that the provider took a request."""
        self.pace.accepted(permit, self._loop.time(), headers)
        self._accepted = max(self._accepted, permit.started)
        if self._resting:
            self._wake()
        self._admit()

    def leave(self, permit: Permit, used: float | None) -> None:
        """Make room for the next."""
        self.pace.end(permit, self._loop.time(), used)
        self._admit()

    async def _acceptance(self, failed: Permit, seconds: float) -> None:
        """Return once a request that started after `failed` is accepted, or after `seconds`."""
        waiting = failed, self._loop.create_future()
        self._resting.append(waiting)
        try:
            await asyncio.wait([waiting[1]], timeout=seconds)
        finally:
            if waiting in self._resting:
                self._resting.remove(waiting)

    def _wake(self) -> None:
        still = []
        for failed, woken in self._resting:
            if failed.started >= self._accepted:
                still.append((failed, woken))
            else:
                woken.set_result(None)
        self._resting = still

    def _admit(self) -> None:
        """Let in all whose turn it is, and look again when the next one's may be."""
        now = self._loop.time()
        self._count(now)
        hopeless = self.pace.hopeless(now)
        while self._line:
            turn, tokens = self._line[0]
            if turn.done():
                self._line.popleft()
                continue
            wait = self.pace.wait(now, tokens)
            if hopeless is not None and (wait != 0 or not self.pace.may_have_recovered(now)):
                self._line.popleft()
                turn.set_exception(self._given_up(hopeless))
                continue
            if wait is None or wait > 0:
                self._holds = self.pace.holds(wait, now, tokens)
                self._held = now, self._holds
                self._look_again(wait, self.pace.hopeless_in(now))
                return
            self._line.popleft()
            turn.set_result(self.pace.start(now, tokens))
        self._holds = None

    def _count(self, now: float) -> None:
        """Count the time in which the line has waited for the same reason."""
        if self._holds is not None:
            seconds = now - self._counted
            self.held_for[self._holds] += seconds
            if self._holds in _BY_THE_PROVIDER:
                self.waited += seconds * len(self._line)
        self._counted = now

    def _given_up(self, seconds: float) -> RateLimitError:
        return RateLimitError(
            f"gave up: for {seconds:.0f} s the provider has refused every request",
            code="breaker_open",
            provider=self._provider,
            model=self._model,
        )

    def _look_again(self, *seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if given := [each for each in seconds if each is not None]:
            self._timer = self._loop.call_later(min(given), self._admit)


class Admission:
    """One attempt that was let in; tells the queue what came of it."""

    __slots__ = ("_permit", "_queue")

    def __init__(self, queue: Queue, permit: Permit) -> None:
        self._queue = queue
        self._permit = permit

    def accepted(self, headers: Mapping[str, str]) -> None:
        """Note that the provider accepted the request."""
        self._queue.accepted(self._permit, headers)

    def completed(self, first_content: float | None) -> None:
        """Note that the response is whole, and when its first content came: the loop's time.

        Content that came before this attempt started belongs to an earlier one.
        """
        permit, ttft = self._permit, None
        if first_content is not None and first_content >= permit.started:
            ttft = first_content - permit.started
        self._queue.pace.completed(permit, ttft, self._queue.now())

    def failed(self, error: RitellmError, headers: Mapping[str, str]) -> None:
        """Note that the attempt failed, and how."""
        pace, permit, now = self._queue.pace, self._permit, self._queue.now()
        if is_throttle(error):
            pace.refused(permit, now, error.retry_after, headers)
        elif isinstance(error, Timeout) and error.retryable:
            pace.overloaded(permit, now)

    async def rest(self, least: float, most: float) -> bool:
        """Wait before the next attempt; see `Queue.rest`."""
        return await self._queue.rest(self._permit, least, most)

    def leave(self, usage: Mapping[str, Any] | None) -> None:
        """Make room for the next request; the attempt used the tokens in `usage`."""
        self._queue.leave(self._permit, (usage or {}).get("total_tokens"))


def estimated_tokens(request: Request) -> float:
    """Return the tokens to reserve for `request`: its prompt, and its longest completion."""
    body = {
        **request.params,
        "messages": request.messages,
        "extra_body": request.extra_body or None,
    }
    prompt, completion = estimate_request(body)
    return float(prompt + (_USUAL_COMPLETION if completion is None else completion))
