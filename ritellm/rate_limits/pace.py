"""How fast a provider may be sent requests, learnt from its responses. Pure: times are handed in.

One `Pace` for each (address, key, model). Four things limit it, and the tightest one counts:

- `window`: what refusals say (see `ritellm.rate_limits.window`);
- `knee`: what waiting for first chunks says (see `ritellm.rate_limits.knee`);
- limit headers that say that nothing is left (`x-ratelimit-remaining-requests: 0`);
- the caller's own `Limits`.

A request that the provider refuses for its load is not the request's fault: it rests by itself for
`rest()` seconds and is sent again, until `give_up_after`. Others go on, unless the window says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from ritellm.limit_headers import budgets
from ritellm.rate_limits.bucket import Bucket
from ritellm.rate_limits.knee import Knee
from ritellm.rate_limits.sample import Permit
from ritellm.rate_limits.window import Window

# Seconds that a refused request rests: after its first refusal in a row, at most after so many as
# may come by chance, and at most at all.
_FIRST_REST, _SHORT_REST, _BY_CHANCE, _LONGEST_REST = 0.1, 1.0, 14, 30.0
# Limit headers that let all wait for so long make a pause; shorter waits spread the requests.
_PAUSE = 1.0
# Seconds without a fall of the window after which there is room for more than what is needed.
_CALM_AFTER = 5.0
# Seconds after the newest refusal in which a provider that refuses everything may have recovered.
_TRY_AFTER = 15.0

Reason = Literal["pause", "limit", "trial", "rate", "queue", "noise", "rpm", "tpm"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller allows: requests in flight, requests and tokens a minute.

    `give_up_after` is the breaker: after so many seconds of nothing but refusals, requests fail at
    once. From time to time one is sent, and its acceptance ends that.
    """

    max_in_flight: int = 64
    rpm: float | None = None
    tpm: float | None = None
    give_up_after: float = 600.0


class Brake(NamedTuple):
    """What holds the job back at the moment.

    - "pause": the provider takes nothing, all wait for `seconds` more;
    - "limit": it takes no more than `allowed` requests in flight;
    - "trial": it refuses some, and `allowed` are sent to see whether it then refuses fewer;
    - "rate": its limit headers say that few are left, these are spread;
    - "queue": it takes more than `allowed`, but only queues them;
    - "noise": it refuses the share `refused` of requests, however few are sent;
    - "rpm", "tpm": the caller's own limits.

    `rate` is the number of requests that it accepted a second, None where they were too few.
    """

    reason: Reason
    allowed: int
    refused: float
    seconds: float
    rate: float | None = None


def rest(refusals: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds that a request rests after so many refusals in a row.

    `jitter` is a random number in [0, 1). The provider's `Retry-After` counts as a floor. Rests
    become long only after refusals that chance hardly explains: where many jobs share a limit.
    """
    doubled = _FIRST_REST * 2.0 ** min(refusals - 1, 16)
    longest = min(_LONGEST_REST, _SHORT_REST * 2.0 ** max(0, min(refusals, 64) - _BY_CHANCE))
    wait = min(doubled, longest) * (0.5 + jitter / 2)
    if retry_after is None:
        return wait
    # Never earlier than asked, and not all at the same moment.
    return max(retry_after, wait) + wait * 0.1


class Pace:
    """The state of one provider's patience."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.in_flight = 0
        self.sent = 0
        self.refused_by: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        self.window = Window(limits.max_in_flight, now)
        self.knee = Knee(limits.max_in_flight, now)
        self._requests = Bucket(limits.rpm, now)
        self._tokens = Bucket(limits.tpm, now)
        self._spent_until: dict[str, tuple[float, float]] = {}  # by kind: as of, nothing before
        self._bad_since: float | None = None
        self._refused_at = now

    @property
    def allowed(self) -> int:
        """How many requests may be in flight now."""
        return max(1, int(min(self.window.size, self.knee.ceiling)))

    @property
    def refusals(self) -> int:
        """How many requests the provider refused for its load."""
        return sum(self.refused_by.values())

    def calm(self, now: float) -> bool:
        """Return whether the provider has had no reason to complain lately."""
        return now - self.window.fell_at > _CALM_AFTER and not self.knee.queueing

    def brake(self, now: float) -> Brake | None:
        """Return what the provider does to the job, None if it is the caller that sets the pace."""
        share, reason = self.window.lately(now).value, self._reason(now)
        if reason is None:
            if not share:
                return None
            reason = "noise"
        seconds = max(0.0, self._paused_until - now)
        return Brake(reason, self.allowed, share, seconds, self.window.rate(now))

    def holds(self, wait: float | None, now: float, tokens: float = 0.0) -> Reason | None:
        """Return what keeps a request of `tokens` waiting, where `wait()` has returned `wait`.

        None for `max_in_flight`.
        """
        if wait and now >= self._paused_until:
            if self._requests.ready(1, now) > now:
                return "rpm"
            if self._tokens.ready(tokens, now) > now:
                return "tpm"
        return self._reason(now)

    def _reason(self, now: float) -> Reason | None:
        """Return what the provider does to those that wait."""
        if now < self.window.paused_until or self._not_before - now >= _PAUSE:
            return "pause"
        if self.window.held:
            return "trial" if self.window.trying else "limit"
        if now < self._not_before:
            return "rate"
        return "queue" if self.knee.queueing else None

    def wait(self, now: float, tokens: float = 0.0) -> float | None:
        """Return the seconds until a request of `tokens` may start: 0 for now.

        None where only the end of a request in flight can make room.
        """
        room = self.window.wait(self.in_flight, now)
        if room is None:
            return None
        ready = max(
            now + room,
            self._not_before,
            self._requests.ready(1, now),
            self._tokens.ready(tokens, now),
        )
        return max(0.0, ready - now)

    def start(self, now: float, tokens: float = 0.0) -> Permit:
        """Return the permit of a request that starts; `tokens` are reserved for it."""
        permit = Permit(now, self.knee.started(), tokens)
        self.in_flight += 1
        self.sent += 1
        self.window.start(permit, self.in_flight, now)
        self._requests.take(1, now)
        self._tokens.take(tokens, now)
        return permit

    def accepted(self, permit: Permit, now: float, headers: Mapping[str, str]) -> None:
        """Note that the provider took a request, with such response `headers`."""
        self._bad_since = None
        self.window.accepted(permit, self.in_flight, now)
        self._heed(permit, headers)

    def refused(
        self,
        permit: Permit,
        now: float,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Note that the provider said "not now"; `end` follows."""
        self._refused_at = now
        if self._bad_since is None:
            self._bad_since = now
        self.window.refused(permit, self.in_flight - 1, now, self._bounded(retry_after))
        self._heed(permit, headers or {})
        reason = self._reason(now)
        self.refused_by["noise" if reason in (None, "queue") else reason] += 1

    def overloaded(self, permit: Permit, now: float) -> None:
        """Note that a request ran into a timeout, which says the same as a refusal."""
        self.window.refused(permit, self.in_flight - 1, now, None)

    def completed(self, permit: Permit, ttft: float | None, now: float) -> None:
        """Note that the response was whole; its first content came after `ttft` seconds."""
        self.window.completed(now - permit.started, now)
        if self.window.held:
            self.knee.reset(now)
        elif ttft is not None:
            permit.timed = True
            size = min(self.window.size, self.knee.ceiling)
            self.knee.answered(permit.number, ttft, self.in_flight, size, now)
        self.window.ceiling = self.knee.ceiling

    def end(self, permit: Permit, now: float, used: float | None = None) -> None:
        """Note that a request is over; it used `used` tokens of the reserved ones."""
        self.in_flight -= 1
        if not permit.timed:
            self.knee.lost(permit.number)
        if used is not None:
            self._tokens.take(used - permit.reserved, now)

    def hopeless(self, now: float) -> float | None:
        """Return for how long there has been nothing but refusals, if it is too long."""
        if self._bad_since is None or now - self._bad_since < self.limits.give_up_after:
            return None
        return now - self._bad_since

    def hopeless_in(self, now: float) -> float | None:
        """Return the seconds after which `hopeless` says so, unless a request is accepted."""
        if self._bad_since is None:
            return None
        return max(0.0, self._bad_since + self.limits.give_up_after - now)

    def may_have_recovered(self, now: float) -> bool:
        """Return whether one request may be sent to a provider that is hopeless, to see."""
        return not self.in_flight and now - self._refused_at > _TRY_AFTER

    @property
    def _not_before(self) -> float:
        return max((until for _, until in self._spent_until.values()), default=-1e9)

    @property
    def _paused_until(self) -> float:
        return max(self.window.paused_until, self._not_before)

    def _bounded(self, seconds: float | None) -> float | None:
        """Nobody waits for longer than until it is time to give up."""
        return None if seconds is None else min(seconds, self.limits.give_up_after)

    def _heed(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Stretch what is left of the provider's budget over the time until it is new.

        The provider counted when the request arrived; its response may come much later.
        """
        waits: dict[str, float] = {}
        for budget in budgets(headers):
            left, wait = budget.remaining, self._bounded(budget.reset)
            if left is None or wait is None:
                continue
            if left > 0:
                scarce = budget.kind == "requests" and left < self.allowed
                wait = wait / (left + 1) if scarce else 0.0
            # Several budgets are of one kind: of a minute and of a day, of input and of output.
            waits[budget.kind] = max(wait, waits.get(budget.kind, 0.0))
        for kind, wait in waits.items():
            as_of, _ = self._spent_until.get(kind, (-1e9, 0.0))
            if permit.started >= as_of:
                self._spent_until[kind] = (permit.started, permit.started + wait)
