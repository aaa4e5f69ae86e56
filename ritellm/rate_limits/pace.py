"""How fast to send requests to a provider, learned from its responses. Pure: no clock.

There is one `Pace` per (address, key, model). The tightest of four limits counts:

- `window`: requests in flight, from the share of refusals (see `ritellm.rate_limits.window`);
- `knee`: requests in flight, from the time to first chunks (see `ritellm.rate_limits.knee`);
- `headers`: a budget that is spent (`x-ratelimit-remaining-requests: 0`);
- the caller's own `Limits` (several callers: `ritellm.rate_limits.quota`).

A request that the provider refuses because of its load rests for `rest()` seconds and is sent
again, until the `breaker` opens. Other requests continue unless the window is full.

Invariants: each `start` has one `end`. Requests in flight exceed `allowed` only after it fell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from ritellm.limit_headers import budgets
from ritellm.rate_limits.breaker import Breaker
from ritellm.rate_limits.header_budgets import HeaderBudgets
from ritellm.rate_limits.knee import Knee
from ritellm.rate_limits.quota import Quota, Quotas
from ritellm.rate_limits.sample import Permit
from ritellm.rate_limits.window import Window

# Seconds that a refused request rests: after its first refusal in a row, at most while chance
# explains the number of refusals, that number, and at most after more.
_FIRST_REST, _SHORT_REST, _BY_CHANCE, _LONGEST_REST = 0.1, 1.0, 14, 30.0
# A wait of this many seconds that limit headers demand is a pause; a shorter one spreads requests.
_PAUSE = 1.0
# Seconds after the last fall of the window until the provider has capacity for optional requests.
_CALM_AFTER = 5.0

Reason = Literal["pause", "limit", "trial", "rate", "queue", "noise", "rpm", "tpm"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Limits:
    """The caller's limits: requests in flight, requests and tokens per minute.

    After `give_up_after` seconds without an acceptance the breaker opens: requests fail at once.
    """

    max_in_flight: int = 64
    rpm: float | None = None
    tpm: float | None = None
    give_up_after: float = 600.0


class Brake(NamedTuple):
    """What limits the job at the moment.

    - "pause": the provider accepts nothing; all requests wait for `seconds` more;
    - "limit": it accepts no more than `allowed` requests in flight;
    - "trial": it refuses some; the job sends `allowed` to see whether it then refuses fewer;
    - "rate": its limit headers leave few requests, which are spread over time;
    - "queue": it accepts more than `allowed` requests, but only queues them;
    - "noise": it refuses the share `refused` of requests, at any number in flight;
    - "rpm", "tpm": the caller's own limits.

    `rate` is the number of requests accepted per second, None if they were too few.
    """

    reason: Reason
    allowed: int
    refused: float
    seconds: float
    rate: float | None = None


def rest(refusals: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds that a request rests after `refusals` in a row.

    `jitter` is a random number in [0, 1). The provider's `Retry-After` is a minimum. A rest becomes
    long only after more refusals than chance explains, as when many jobs share a limit.
    """
    doubled = _FIRST_REST * 2.0 ** min(refusals - 1, 16)
    longest = min(_LONGEST_REST, _SHORT_REST * 2.0 ** max(0, min(refusals, 64) - _BY_CHANCE))
    wait = min(doubled, longest) * (0.5 + jitter / 2)
    if retry_after is None:
        return wait
    # Never earlier than the provider demands, and not all at the same moment.
    return max(retry_after, wait) + wait * 0.1


class Pace:
    """Decides when the next request to one provider may start."""

    def __init__(self, limits: Limits, now: float, quota: Quota | None = None) -> None:
        self.limits = limits
        self.quota = quota or Quotas().of(limits.rpm, limits.tpm, now)
        self.in_flight = 0
        self.sent = 0
        self.refused_by: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        self.window = Window(limits.max_in_flight, now)
        self.knee = Knee(limits.max_in_flight, now)
        self.headers = HeaderBudgets(limits.give_up_after)
        self.breaker = Breaker(limits.give_up_after, now)

    def allow(self, limits: Limits) -> None:
        """Serve a caller with `limits` too: the larger values of both callers count."""
        most = max(limits.max_in_flight, self.limits.max_in_flight)
        patience = max(limits.give_up_after, self.limits.give_up_after)
        if (most, patience) == (self.limits.max_in_flight, self.limits.give_up_after):
            return
        self.limits = replace(self.limits, max_in_flight=most, give_up_after=patience)
        self.knee.allow(most)
        self.window.allow(most, self.knee.ceiling)
        self.breaker.give_up_after = self.headers.longest = patience

    @property
    def allowed(self) -> int:
        """The number of requests that may be in flight now."""
        return max(1, int(min(self.window.size, self.knee.ceiling)))

    @property
    def refusals(self) -> int:
        """The number of requests that the provider refused because of its load."""
        return sum(self.refused_by.values())

    def calm(self, now: float) -> bool:
        """Return whether the provider shows no sign of overload."""
        return now - self.window.fell_at > _CALM_AFTER and not self.knee.queueing

    def brake(self, now: float) -> Brake | None:
        """Return how the provider limits the job; None if it does not."""
        share, reason = self.window.sample.recent_share(now).value, self._reason(now)
        if reason is None:
            if not share:
                return None
            reason = "noise"
        seconds = max(0.0, self._paused_until - now)
        return Brake(reason, self.allowed, share, seconds, self.window.sample.rate(now))

    def holds(
        self, wait: float | None, now: float, tokens: float = 0.0, quota: Quota | None = None
    ) -> Reason | None:
        """Return why a request of `tokens` waits, given the `wait` that `wait()` returned.

        None means `max_in_flight`.
        """
        if wait and now >= self._paused_until:
            quota = quota or self.quota
            if quota.requests_ready(now) > now:
                return "rpm"
            if quota.tokens_ready(tokens, now) > now:
                return "tpm"
        return self._reason(now)

    def _reason(self, now: float) -> Reason | None:
        """Return how the provider limits the requests that wait."""
        if now < self.window.paused_until or self.headers.not_before - now >= _PAUSE:
            return "pause"
        if self.window.held:
            return "trial" if self.window.trying else "limit"
        if now < self.headers.not_before:
            return "rate"
        return "queue" if self.knee.queueing else None

    def wait(self, now: float, tokens: float = 0.0, quota: Quota | None = None) -> float | None:
        """Return the seconds until a request of `tokens` may start, 0 for now.

        None means that a request in flight must end first. `quota` is that of its caller.
        """
        room = self.window.wait(self.in_flight, now)
        if room is None:
            return None
        quota = quota or self.quota
        ready = max(
            now + room,
            self.headers.not_before,
            quota.requests_ready(now),
            quota.tokens_ready(tokens, now),
        )
        return max(0.0, ready - now)

    def may_start(self, now: float, tokens: float, quota: Quota) -> bool:
        """Return whether a request may start at once, while the provider refuses none."""
        return self.breaker.refusing_since is None and self.wait(now, tokens, quota) == 0

    def start(self, now: float, tokens: float = 0.0, quota: Quota | None = None) -> Permit:
        """Return the permit of a request that starts, and reserve `tokens` for it."""
        quota = quota or self.quota
        permit = Permit(now, self.knee.started(), tokens, quota)
        self.in_flight += 1
        self.sent += 1
        self.window.start(permit, self.in_flight, now)
        quota.start(tokens, now)
        return permit

    def accepted(self, permit: Permit, now: float, headers: Mapping[str, str]) -> None:
        """Record that the provider accepted a request with these response `headers`."""
        self.breaker.refusing_since = None
        self.window.accepted(permit, self.in_flight, now)
        self._read_headers(permit, headers)

    def refused(
        self,
        permit: Permit,
        now: float,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Record that the provider refused a request because of its load; `end` follows."""
        self.breaker.refused(now)
        if retry_after is not None:  # no request waits longer than until the breaker opens
            retry_after = min(retry_after, self.limits.give_up_after)
        self.window.refused(permit, self.in_flight - 1, now, retry_after)
        self._read_headers(permit, headers or {})
        reason = self._reason(now)
        self.refused_by["noise" if reason in (None, "queue") else reason] += 1

    def overloaded(self, permit: Permit, now: float) -> None:
        """Record that a request timed out; for the window that is a refusal."""
        self.window.refused(permit, self.in_flight - 1, now, None)

    def completed(self, permit: Permit, ttft: float | None, now: float) -> None:
        """Record that the response is complete; its first content came after `ttft` seconds."""
        self.window.completed(now - permit.started, now)
        if self.window.held:
            self.knee.reset(now)
        elif ttft is not None:
            permit.timed = True
            size = min(self.window.size, self.knee.ceiling)
            self.knee.completed(permit.number, ttft, self.in_flight, size, now)
        self.window.ceiling = self.knee.ceiling

    def end(self, permit: Permit, now: float, used: float | None = None) -> None:
        """Record that a request has ended and took `used` tokens instead of the reserved ones."""
        self.in_flight -= 1
        if not permit.timed:
            self.knee.lost(permit.number)
        if used is not None:
            (permit.quota or self.quota).take(used - permit.reserved, now)

    @property
    def _paused_until(self) -> float:
        return max(self.window.paused_until, self.headers.not_before)

    def _read_headers(self, permit: Permit, headers: Mapping[str, str]) -> None:
        if found := budgets(headers):
            self.headers.update(found, permit.started, self.allowed)
