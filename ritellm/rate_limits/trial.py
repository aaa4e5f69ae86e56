"""Trials: whether the provider refuses fewer requests if the job sends less. Pure.

The problem: only sending less shows whether refusals are due to the job. That costs throughput.

The idea: a trial compares two shares of refusals. The first is of requests sent before the window
fell. The second is of requests sent after the first round (those in flight at that moment) ended.
From time to time another trial verifies the share that the window expects.

Invariants: a trial ends only with a verdict. Verifications take at most `_TRIALS` of the time.
"""

from __future__ import annotations

from dataclasses import dataclass

from ritellm.rate_limits.chance import TOLERATED
from ritellm.rate_limits.sample import FEW, Sample, Share
from ritellm.rate_limits.verdict import Verdict, verdict

# The number of requests that a trial needs in a large window; in a small one it needs `FEW`.
_ENOUGH = 32
# A larger share never counts as noise.
_MOST_NOISE = 0.7
# Seconds between trials if the window expects more than a small share, doubled each time.
VERIFY, _LONGEST_VERIFY, _SMALL = 0.5, 30.0, 0.08
# Trials take this part of the time at most.
_TRIALS = 1 / 8


@dataclass(slots=True)
class Trial:
    """The state before the window fell."""

    size: float  # to return to
    was_open: bool
    since: float  # the first share is of requests sent from here
    until: float  # to here
    left: int  # requests of the first round that have not ended
    before: Share | None = None  # the first share, kept because the sample forgets old requests

    def result(
        self, sample: Sample, since: float, size: float, now: float
    ) -> tuple[Verdict, Share] | None:
        """Return the verdict and the share since `since`; None while it needs more requests."""
        if self.before is None and now - sample.patience >= self.until:
            self.before = sample.share(self.since, self.until)
        if self.left > 0:
            return None
        after, need = sample.known_share(since, now), min(_ENOUGH, max(FEW, int(2 * size)))
        if after.sent < need:
            return None
        before = self.before or sample.share(self.since, self.until)
        found = verdict(before, after, TOLERATED, after.sent >= 4 * need)
        if found is Verdict.SAME and after.value > _MOST_NOISE:
            found = Verdict.LESS  # many jobs share a limit: sending more helps none of them
        return None if found is None else (found, after)


class Verification:
    """When another trial verifies the share of refusals that the window expects."""

    __slots__ = ("_due_at", "_interval")

    def __init__(self, now: float) -> None:
        self._due_at, self._interval = now, VERIFY

    def is_due(self, is_open: bool, expected: float, now: float) -> bool:
        """Return whether to read the sample: for most responses it is not worth the time."""
        return now >= self._due_at and (expected > _SMALL or not is_open)

    def is_worthwhile(self, share: Share, expected: float) -> bool:
        """Return whether `share` leaves enough doubt for a trial."""
        if share.sent < _ENOUGH:
            return False
        often = share.at_least() > expected + 0.01
        return expected > _SMALL or (share.sent >= 4 * _ENOUGH and often)

    def postpone(self, seconds: float, now: float) -> None:
        """Wait for `seconds` before the next look at the sample."""
        self._due_at = now + seconds

    def ended(self, trial: Trial, changed: bool, now: float) -> None:
        """Schedule the next trial; the interval doubles unless the share has `changed`."""
        self._due_at = now + max(self._interval, (now - trial.until) / _TRIALS)
        self._interval = VERIFY if changed else min(_LONGEST_VERIFY, 2 * self._interval)
