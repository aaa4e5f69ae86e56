"""How fast a provider may be asked, learnt from its answers. Pure: times are handed in.

One `Pace` for each (address, key, model). It bounds how many requests are under way (additive
increase, multiplicative decrease), when the next may start, and how many requests and tokens a
minute. A request that the provider throttled is not the request's fault: it waits and goes again,
until the breaker says that waiting is pointless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from ritellm.limit_headers import count, duration

# How much more is allowed with each accepted request, up to this share of what was before a cut.
_RECOVERY = 0.5
_KNOWN_GOOD = 0.9
# Seconds without throttling after which there is room for more than what is needed.
_CALM_AFTER = 5.0
# How many times as long as a refusal takes, and how many seconds at least, there must be none for
# one more request to go first.
_SURE, _QUICK = 4.0, 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller allows: requests under way, requests and tokens a minute.

    `give_up_after` is the breaker: so many seconds of nothing but throttling end it.
    """

    max_in_flight: int = 64
    rpm: float | None = None
    tpm: float | None = None
    give_up_after: float = 600.0


class Pace:
    """The state of one provider's patience."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.in_flight = 0
        self.throttled = 0  # answers that said "slow down"
        self._most = float(limits.max_in_flight)
        self._not_before = now  # nobody starts earlier than this
        self._probing = False  # after a pause a few requests go first
        self._known_good = 0.0  # up to here the way back is quick
        self._ahead: list[float] = []  # when those have started that went first, and are out
        self._probing_since: float | None = None  # when the first of them did, after this pause
        self._probes = 0  # how many did
        self._refusal = 0.0  # seconds that a refusal takes
        self._cut_at = (
            now - _CALM_AFTER - 1
        )  # the last decrease: requests from before it say nothing new
        self._rate: float | None = None  # requests a second, where no header says when to return
        self._next_slot = now
        self._starts: deque[float] = deque(maxlen=4096)  # of accepted requests
        self._requests = _Bucket(limits.rpm, now)
        self._tokens = _Bucket(limits.tpm, now)
        self._bad_since: float | None = None

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        return max(1, int(self._most))

    def calm(self, now: float) -> bool:
        """Return whether the provider has had no reason to complain lately."""
        return not self._probing and now - self._cut_at > _CALM_AFTER

    def wait(self, now: float, tokens: float = 0.0) -> float | None:
        """Return the seconds until a request of `tokens` may start: 0 for now.

        None where only the end of a request under way can make room.
        """
        if self.in_flight >= self.allowed:
            return None
        if (later := self._next_probe(now)) > 0:
            return later
        slot = self._next_slot if self._rate else now
        ready = max(
            self._not_before, slot, self._requests.ready(1, now), self._tokens.ready(tokens, now)
        )
        return max(0.0, ready - now)

    def start(self, now: float, tokens: float = 0.0) -> None:
        """Note that a request starts; `tokens` are reserved for it."""
        self.in_flight += 1
        self._requests.take(1, now)
        self._tokens.take(tokens, now)
        if self._probing:
            self._goes_first(now)
        if self._rate:
            self._next_slot = max(self._next_slot, now) + 1 / self._rate

    def accepted(self, started: float, now: float, headers: Mapping[str, str]) -> None:
        """Note that the provider took a request that started at `started`."""
        self._bad_since = None
        self._starts.append(started)
        if self._back(started):
            self._probing, self._probing_since = False, None
            self._ahead.clear()  # the others are now like any
        if started >= self._cut_at:
            step = _RECOVERY if self._most < self._known_good else 1 / self._most
            self._most = min(float(self.limits.max_in_flight), self._most + step)
            if self._rate:
                # A rate that nobody has complained of for a while may be far too low: it was
                # learnt at a moment when little was asked.
                share = 0.5 if self.calm(now) else 0.1
                self._rate += self._rate * share / max(1.0, self._rate)
        self._heed(headers, now)

    def refused(self, started: float, now: float, retry_after: float | None) -> None:
        """Note that the provider said "slow down" to a request that started at `started`."""
        self.throttled += 1
        if self._bad_since is None:
            self._bad_since = now
        self._refusal = max(self._refusal / 2, now - started)
        # One that went first says that it is too early, not that there are too many.
        if not self._back(started) and self._cut(started, now) and retry_after is None:
            self._learn_rate(now)
        if retry_after is not None:
            self._not_before = max(self._not_before, now + retry_after)
            self._probing, self._probing_since = True, None
        else:
            self._not_before = max(self._not_before, now + 0.05)

    def overloaded(self, started: float, now: float) -> None:
        """Note that a request that started at `started` ran into a timeout: fewer at once."""
        self._back(started)
        self._cut(started, now)

    def end(self, now: float, reserved: float = 0.0, used: float | None = None) -> None:
        """Note that a request is over; it used `used` tokens of the `reserved` ones."""
        self.in_flight -= 1
        if used is not None:
            self._tokens.take(used - reserved, now)

    def abandoned(self, started: float) -> None:
        """Note that a request that started at `started` brought no answer either way."""
        self._back(started)

    def hopeless(self, now: float) -> float | None:
        """Return for how long there has been nothing but throttling, if it is too long."""
        if self._bad_since is None or now - self._bad_since < self.limits.give_up_after:
            return None
        return now - self._bad_since

    def _goes_first(self, now: float) -> None:
        """Note that a request starts of which nobody knows whether it comes too early."""
        self._ahead.append(now)
        if self._probing_since is None:
            self._probing_since, self._probes = now, 0
        self._probes += 1

    def _next_probe(self, now: float) -> float:
        """Return the seconds until one more may go first: 0 for now, or where nobody needs to.

        One goes alone; but a refusal is quicker than an answer. As long as none comes, they double
        each time that refusals would have come: nobody waits for the first answer's first byte.
        """
        if self._probing_since is None:
            return 0.0
        steps = self._probes.bit_length()
        patience = max(_QUICK, self._refusal * _SURE)
        return self._probing_since + steps * patience - now

    def _back(self, started: float) -> bool:
        """Return whether the request that started at `started` went first; it no longer does."""
        if started not in self._ahead:
            return False
        self._ahead.remove(started)
        if not self._ahead:
            self._probing_since = None
        return True

    def _cut(self, started: float, now: float) -> bool:
        """Allow fewer at once, but once only for all that were under way together."""
        if started < self._cut_at:
            return False
        self._cut_at = now
        self._known_good = self._most * _KNOWN_GOOD
        self._most = max(1.0, min(self._most, float(self.in_flight)) * 0.7)
        return True

    def _learn_rate(self, now: float) -> None:
        """Take the rate at which requests got through just now, then less each time."""
        if self._rate is None:
            lately = [start for start in self._starts if start > now - 1.0]
            span = max(0.2, min(1.0, now - lately[0])) if lately else 1.0
            self._rate = max(1.0, len(lately) / span * 0.7)
        else:
            self._rate = max(0.5, self._rate * 0.8)
        self._next_slot = now + 1 / self._rate

    def _heed(self, headers: Mapping[str, str], now: float) -> None:
        """Stretch what is left of the provider's budget over the time until it is new."""
        for kind in ("requests", "tokens"):
            left = count(headers.get(f"x-ratelimit-remaining-{kind}"))
            reset = duration(headers.get(f"x-ratelimit-reset-{kind}"))
            if left is None or reset is None:
                continue
            if left <= 0:
                self._not_before = max(self._not_before, now + reset)
            elif kind == "requests" and left < self.allowed:
                self._not_before = max(self._not_before, now + reset / (left + 1))


class _Bucket:
    """So many a minute, a tenth of them at once at most."""

    __slots__ = ("_full", "_level", "_per_second", "_since")

    def __init__(self, per_minute: float | None, now: float) -> None:
        self._per_second = per_minute / 60 if per_minute else 0.0
        self._full = max(1.0, (per_minute or 0.0) / 10)
        self._level = self._full
        self._since = now

    def ready(self, amount: float, now: float) -> float:
        """Return when `amount` may be taken; more than the bucket holds waits for a full one."""
        if not self._per_second:
            return now
        self._fill(now)
        missing = min(amount, self._full) - self._level
        return now + max(0.0, missing) / self._per_second

    def take(self, amount: float, now: float) -> None:
        """Take `amount`; what is not there yet is owed."""
        if self._per_second:
            self._fill(now)
            self._level = min(self._full, self._level - amount)

    def _fill(self, now: float) -> None:
        self._level = min(self._full, self._level + (now - self._since) * self._per_second)
        self._since = now
