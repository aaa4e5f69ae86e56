"""Where requests to one provider and model wait, in the order in which `Pace` admits them.

Retries are first: they have waited longest. An attempt that failed rests before the next one.
Callers with limits of their own (`quota`) have a line each, so that a caller who has to wait for
its own limit does not block the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ritellm.chunks.usage import count_of
from ritellm.errors import RateLimitError, RitellmError, Timeout
from ritellm.rate_limits.pace import REASONS, Brake, Limits, Pace, Reason
from ritellm.rate_limits.quota import Quota
from ritellm.rate_limits.sample import Permit
from ritellm.rate_limits.stopwatch import Stopwatch
from ritellm.retry import is_outage, is_throttle
from ritellm.token_estimate import estimate_request
from ritellm.types import Request

# The provider limits requests that wait for these reasons: more workers would not help.
_BY_THE_PROVIDER: tuple[Reason, ...] = ("pause", "limit", "rate", "queue")
# A queue that had to wait this many seconds ago still counts as limited: requests come and go.
_LATELY = 1.0
# The tokens to reserve for a completion without a limit. A budget reserves more, because it must
# not be exceeded. Here too low an estimate only costs one refusal.
_USUAL_COMPLETION = 512


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request in a line; the one with the smallest `order` is next."""

    turn: asyncio.Future[Permit]
    tokens: float
    order: int


class Queue:
    """Requests that wait for one provider and model, and requests that rest after a failure.

    `quota` is that of callers who name none. `held` counts the time in which the provider holds any
    request back.
    """

    def __init__(
        self,
        limits: Limits,
        provider: str,
        model: str,
        quota: Quota | None = None,
        held: Stopwatch | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._provider, self._model = provider, model
        self._lines: dict[Quota, deque[_Waiting]] = {}
        self._entered = 0
        self._held_back = held or Stopwatch()
        self._resting: list[tuple[Permit, asyncio.Future[None]]] = []
        self._accepted = float("-inf")  # when the newest accepted request started
        self._timer: asyncio.TimerHandle | None = None
        self.pace = Pace(limits, self._loop.time(), quota)
        self.reached = False  # the server has responded at least once
        self.held_for: dict[Reason, float] = dict.fromkeys(REASONS, 0.0)
        self._holds: Reason | None = None  # why the requests wait now
        self._counted = 0.0  # `held_for` includes the waits until this time
        self._held: tuple[float, Reason | None] = (float("-inf"), None)  # the last wait: when, why

    async def enter(
        self, request: Request, again: bool = False, quota: Quota | None = None
    ) -> Admission:
        """Wait until `request` may be sent; raises RateLimitError once the breaker is open.

        `quota` is that of its caller.
        """
        quota = quota or self.pace.quota
        tokens = estimated_tokens(request) if quota.counts_tokens else 0.0
        now = self._loop.time()
        if self._is_idle and self.pace.may_start(now, tokens, quota):
            return Admission(self, self.pace.start(now, tokens, quota))
        turn: asyncio.Future[Permit] = self._loop.create_future()
        self._join(quota, turn, tokens, again)
        self._admit()
        try:
            permit = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(turn.result(), None)
            raise
        return Admission(self, permit)

    async def rest(self, failed: Permit, least: float, most: float) -> bool:
        """Wait `least` seconds, then until the provider accepts another request, `most` at most.

        Returns whether it has accepted one that started after `failed`: then the provider works,
        and only this request failed.
        """
        await asyncio.sleep(least)
        if self._accepted <= failed.started and most > least:
            await self._acceptance(failed, most - least)
        return self._accepted > failed.started

    def brake(self) -> Brake | None:
        """Return what limits the requests; None if none waits and none is refused."""
        now = self.now()
        brake, (when, holds) = self.pace.brake(now), self._held
        if now - when > _LATELY and not self.has_line:
            holds = None
        if holds in ("rpm", "tpm"):
            return Brake(holds, self.pace.allowed, brake.refused if brake else 0.0, 0.0)
        return brake if brake and (holds or brake.reason in ("pause", "noise")) else None

    @property
    def has_line(self) -> bool:
        """Whether a request waits. Other threads ask, too, so this reads copies of the lines."""
        lines = [tuple(line) for line in tuple(self._lines.values())]
        return any(not each.turn.done() for line in lines for each in line)

    @property
    def _is_idle(self) -> bool:
        """Whether no request waits, and none waited at the last look."""
        return self._holds is None and not any(self._lines.values())

    def now(self) -> float:
        """Return the event loop's time, which the pace uses."""
        return self._loop.time()

    def accepted(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Record that the provider accepted a request."""
        self.reached = True
        self.pace.accepted(permit, self._loop.time(), headers)
        self._accepted = max(self._accepted, permit.started)
        if self._resting:
            self._wake()
        self._admit()

    def leave(self, permit: Permit, used: float | None) -> None:
        """Record that a request has ended, and admit the next."""
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

    def _join(self, quota: Quota, turn: asyncio.Future[Permit], tokens: float, again: bool) -> None:
        self._entered += 1
        line = self._lines.setdefault(quota, deque())
        if again:
            line.appendleft(_Waiting(turn, tokens, -self._entered))
        else:
            line.append(_Waiting(turn, tokens, self._entered))

    def _admit(self) -> None:
        """Admit the requests that may start, and set a timer for the next one."""
        if self._is_idle:
            return
        now = self._loop.time()
        self._count(now)
        breaker = self.pace.breaker
        refused_for = breaker.open_after(now)
        waits: list[float | None] = []
        holds: list[Reason | None] = []
        blocked: set[Quota] = set()
        while (quota := self._next(blocked)) is not None:
            first = self._lines[quota][0]
            wait = self.pace.wait(now, first.tokens, quota)
            may_probe = wait == 0 and breaker.may_probe(self.pace.in_flight, now)
            if refused_for is not None and not may_probe:
                self._lines[quota].popleft()
                first.turn.set_exception(self._given_up(refused_for))
                continue
            if wait is None or wait > 0:
                waits.append(wait)
                holds.append(self.pace.holds(wait, now, first.tokens, quota))
                blocked.add(quota)
                continue
            self._lines[quota].popleft()
            first.turn.set_result(self.pace.start(now, first.tokens, quota))
        self._note(holds, now)
        if waits:
            self._look_again(*waits, breaker.opens_in(now))

    def _next(self, blocked: set[Quota]) -> Quota | None:
        """Return the line of the request that is next, of the lines that are not `blocked`."""
        heads = [(line[0].order, quota) for quota, line in self._heads() if quota not in blocked]
        return min(heads, key=lambda head: head[0])[1] if heads else None

    def _heads(self) -> Iterator[tuple[Quota, deque[_Waiting]]]:
        """Yield the lines in which a request waits, the first of each line one that still does."""
        for quota, line in self._lines.items():
            while line and line[0].turn.done():
                line.popleft()
            if line:
                yield quota, line

    def _note(self, holds: list[Reason | None], now: float) -> None:
        """Note why requests wait from now on; the provider's reasons come first."""
        by_provider = [reason for reason in holds if reason in _BY_THE_PROVIDER]
        self._holds = next(iter(by_provider or holds), None)
        if holds:
            self._held = now, self._holds
        self._held_back.hold(self, bool(by_provider), now)

    def _count(self, now: float) -> None:
        """Add the time since the last call to the reason for which requests have waited."""
        if self._holds is not None:
            self.held_for[self._holds] += now - self._counted
        self._counted = now

    def _given_up(self, seconds: float) -> RateLimitError:
        return RateLimitError(
            f"gave up: the provider refused every request for {seconds:.0f} s",
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
    """One admitted attempt, which reports its result to the queue."""

    __slots__ = ("_permit", "_queue")

    def __init__(self, queue: Queue, permit: Permit) -> None:
        self._queue = queue
        self._permit = permit

    def accepted(self, headers: Mapping[str, str]) -> None:
        """Record that the provider accepted the request."""
        self._queue.accepted(self._permit, headers)

    def completed(self, first_content: float | None) -> None:
        """Record that the response is complete, and the loop's time of its first content.

        Content that arrived before this attempt started belongs to an earlier one.
        """
        permit, ttft = self._permit, None
        if first_content is not None and first_content >= permit.started:
            ttft = first_content - permit.started
        self._queue.pace.completed(permit, ttft, self._queue.now())

    def failed(self, error: RitellmError, headers: Mapping[str, str]) -> None:
        """Record that the attempt failed, and how. Without a response there are no `headers`."""
        queue, permit = self._queue, self._permit
        pace, now = queue.pace, queue.now()
        queue.reached = queue.reached or bool(headers)
        if is_throttle(error) or is_outage(error, queue.reached):
            pace.refused(permit, now, error.retry_after, headers)
        elif isinstance(error, Timeout) and error.retryable:
            pace.overloaded(permit, now)

    async def rest(self, least: float, most: float) -> bool:
        """Rest before the next attempt; see `Queue.rest`."""
        return await self._queue.rest(self._permit, least, most)

    def leave(self, usage: Mapping[str, Any] | None) -> None:
        """Record that the attempt has ended and took the tokens in `usage`."""
        self._queue.leave(self._permit, count_of((usage or {}).get("total_tokens")))


def estimated_tokens(request: Request) -> float:
    """Return the tokens to reserve for the prompt of `request` and its longest completion."""
    body = {
        **request.params,
        "messages": request.messages,
        "extra_body": request.extra_body or None,
    }
    prompt, completion = estimate_request(body)
    return float(prompt + (_USUAL_COMPLETION if completion is None else completion))
