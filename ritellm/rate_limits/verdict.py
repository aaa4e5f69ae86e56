"""Whether requests are refused less often since less is sent. Pure."""

from __future__ import annotations

from enum import Enum

from ritellm.rate_limits.sample import Share

# A share that is at least this part of what it was has not fallen.
_SAME = 0.6


class Verdict(Enum):
    """What has become of the share of refusals."""

    WORSE = "worse"
    SAME = "same"
    LESS = "less"


def verdict(before: Share, after: Share, tolerated: float, enough: bool) -> Verdict | None:
    """Return what became of `before`; None if the requests in `after` are too few to say.

    Shares are compared by their intervals of confidence. With `enough` requests there is always an
    answer. A difference of `tolerated` counts as none.
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
