"""Compares the shares of refusals before and after the job sends less. Pure.

The problem: a trial has few requests, so the two shares may differ by chance. The idea: compare
the ends of their confidence intervals, and wait for more requests while these allow both results.
"""

from __future__ import annotations

from enum import Enum

from ritellm.rate_limits.sample import Share

# A share of at least this part of the earlier one counts as unchanged.
_SAME = 0.6


class Verdict(Enum):
    """How the share of refusals has changed."""

    WORSE = "worse"
    SAME = "same"
    LESS = "less"


def verdict(before: Share, after: Share, tolerated: float, enough: bool) -> Verdict | None:
    """Return how `after` differs from `before`; None if `after` has too few requests.

    The comparison uses confidence intervals. With `enough` requests it always has a result. A
    difference of up to `tolerated` counts as no difference.
    """
    if after.at_least() > before.at_most() + tolerated:
        return Verdict.WORSE
    if after.at_least() >= _SAME * before.at_least():
        return Verdict.SAME
    if before.at_least(2.0) > after.at_most() + tolerated:
        return Verdict.LESS
    if not enough:
        return None
    return Verdict.LESS if before.at_least(2.0) > after.value + tolerated else Verdict.SAME
