"""The share of recent requests that a provider refused. Pure.

Refusals arrive sooner than acceptances. A share of the results so far would therefore start at
100 %. So a request counts once it is old enough that a refusal would have arrived (`patience`),
whether or not the provider has responded by then.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from ritellm.rate_limits.quota import Quota

# A request counts as accepted after this multiple of the time that refusals take, and after this
# many seconds at least.
_SURE, _QUICK = 4.0, 0.02
# Fewer requests are no evidence.
FEW = 8
# The number of requests to remember, and the number that a rate needs.
_MOST, _FEWEST = 256, 16
# The recent past, in seconds.
_RECENT = 10.0


@dataclass(slots=True, eq=False)
class Permit:
    """One admitted request: when it started, and its result."""

    started: float
    number: int = 0  # in the order of starts
    reserved: float = 0.0  # tokens
    quota: Quota | None = None  # of its caller
    waited: bool = False  # it took the last place in the window
    probe: bool = False  # it exceeds the size that is known to work
    refused: bool = False
    timed: bool = False  # the time to its first content is known


@dataclass(frozen=True, slots=True)
class Share:
    """`refused` of `sent` requests."""

    refused: int
    sent: int

    @property
    def value(self) -> float:
        """The share, 0 without requests."""
        return self.refused / self.sent if self.sent else 0.0

    def at_least(self, deviations: float = 1.0) -> float:
        """Return the lower end of Wilson's interval, `deviations` standard deviations wide."""
        return self._bound(-deviations)

    def at_most(self, deviations: float = 1.0) -> float:
        """Return the upper end of Wilson's interval, `deviations` standard deviations wide."""
        return self._bound(deviations)

    def _bound(self, z: float) -> float:
        # E. B. Wilson, "Probable inference", JASA 22 (1927): also holds for small samples.
        n, p = self.sent, self.value
        if not n:
            return 0.0 if z < 0 else 1.0
        middle = p + z * z / (2 * n)
        spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle + spread) / (1 + z * z / n)


class Sample:
    """The most recent requests, oldest first.

    Another thread may ask for a share or a rate while requests start, so both read a copy.
    """

    def __init__(self) -> None:
        self._sent: deque[Permit] = deque(maxlen=_MOST)
        self._refusal = 0.0  # seconds that a refusal takes

    @property
    def patience(self) -> float:
        """Seconds after which a refusal of a request would have arrived."""
        return max(_QUICK, self._refusal * _SURE)

    def add(self, permit: Permit) -> None:
        """Record that a request was sent."""
        self._sent.append(permit)

    def refused(self, permit: Permit, now: float) -> None:
        """Record that a request was refused."""
        permit.refused = True
        self._refusal = max(self._refusal / 2, now - permit.started)

    def run(self, permit: Permit) -> int:
        """Return the length of the run of refusals that ends with `permit`, in order of starts."""
        count, seen = 0, False
        for sent in reversed(self._sent):
            seen = seen or sent is permit
            if seen:
                if not sent.refused:
                    break
                count += 1
        return count

    def rate(self, now: float) -> float | None:
        """Return the accepted requests per second of the recent past; None with too few."""
        since, until = now - _RECENT, now - self.patience
        recent = [p for p in tuple(self._sent) if since <= p.started <= until]
        if len(recent) < _FEWEST:
            return None
        seconds = recent[-1].started - recent[0].started
        accepted = sum(not p.refused for p in recent[1:])
        return accepted / seconds if seconds > 0 else None

    def share(self, since: float, until: float) -> Share:
        """Return the share of refusals among the requests sent from `since` to `until`."""
        recent = [p.refused for p in tuple(self._sent) if since <= p.started <= until]
        return Share(sum(recent), len(recent))

    def recent_share(self, now: float) -> Share:
        """Return the share of refusals in the recent past."""
        return self.share(now - _RECENT, now)

    def known_share(self, since: float, now: float) -> Share:
        """Return the share among requests sent from `since` whose refusal would have arrived."""
        return self.share(since, now - self.patience)
