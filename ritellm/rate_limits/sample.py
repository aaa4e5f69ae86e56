"""The share of requests that a provider refuses, among those sent lately. Pure.

A refusal is quicker than an acceptance: of requests sent together the refused ones are known first.
A share that counted results as they come would begin at 100 %. So a request counts once it is old
enough to have been refused (`patience`), whether or not the provider has said anything by then.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

# A request is taken to be accepted after this multiple of the time that refusals take, and after at
# least so many seconds.
_SURE, _QUICK = 4.0, 0.02
# Requests that are remembered; a rate takes so many.
_MOST, _FEWEST = 256, 16


@dataclass(slots=True, eq=False)
class Permit:
    """One request that was let through: when it started, and what came of it."""

    started: float
    number: int = 0  # in the order of starts
    reserved: float = 0.0  # tokens
    waited: bool = False  # the window was full when it came
    probe: bool = False  # it is one more than the window was known to allow
    refused: bool = False
    timed: bool = False  # the time to its first content is known


@dataclass(frozen=True, slots=True)
class Share:
    """`refused` of `sent` requests."""

    refused: int
    sent: int

    @property
    def value(self) -> float:
        """The share, 0 where none was sent."""
        return self.refused / self.sent if self.sent else 0.0

    def at_least(self, deviations: float = 1.0) -> float:
        """Return the lower end of Wilson's interval of so many standard deviations."""
        return self._bound(-deviations)

    def at_most(self, deviations: float = 1.0) -> float:
        """Return the upper end of Wilson's interval of so many standard deviations."""
        return self._bound(deviations)

    def _bound(self, z: float) -> float:
        # E. B. Wilson, "Probable inference", JASA 22 (1927): holds for small samples, too.
        n, p = self.sent, self.value
        if not n:
            return 0.0 if z < 0 else 1.0
        middle = p + z * z / (2 * n)
        spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle + spread) / (1 + z * z / n)


class Sample:
    """The requests sent lately, oldest first."""

    def __init__(self) -> None:
        self._sent: deque[Permit] = deque(maxlen=_MOST)
        self._refusal = 0.0  # seconds that a refusal takes

    @property
    def patience(self) -> float:
        """Seconds after which a request would have been refused."""
        return max(_QUICK, self._refusal * _SURE)

    def add(self, permit: Permit) -> None:
        """Note that a request was sent."""
        self._sent.append(permit)

    def refused(self, permit: Permit, now: float) -> None:
        """Note that a request was refused."""
        permit.refused = True
        self._refusal = max(self._refusal / 2, now - permit.started)

    def run(self, permit: Permit) -> int:
        """Return how many requests in a row were refused, `permit` and those sent before it."""
        count, seen = 0, False
        for sent in reversed(self._sent):
            seen = seen or sent is permit
            if seen:
                if not sent.refused:
                    break
                count += 1
        return count

    def rate(self, since: float, until: float) -> float | None:
        """Return the accepted requests a second of that time; None if they are too few to say."""
        lately = [p for p in self._sent if since <= p.started <= until]
        if len(lately) < _FEWEST:
            return None
        seconds = lately[-1].started - lately[0].started
        accepted = sum(not p.refused for p in lately[1:])
        return accepted / seconds if seconds > 0 else None

    def share(self, since: float, until: float) -> Share:
        """Return the share among those sent from `since` until `until`."""
        lately = [p.refused for p in self._sent if since <= p.started <= until]
        return Share(sum(lately), len(lately))
