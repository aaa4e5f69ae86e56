"""The first growth of a window before a provider that refuses some requests. Pure.

The problem: a window starts small and doubles. If the provider refuses some of the first requests,
a trial (`trial`) would try a still smaller window for a whole round of requests, and a short job
would spend most of its time there.

The idea: while the window doubles anyway, the next step is the experiment. If the provider refuses
as many of the requests of a larger window, they are noise. If it refuses more, the window is too
large, and a trial begins. Refusals arrive quickly, so a step takes little time.

Invariants: a share above `_MOST` ends the ascent, and so does a step that takes too long. Then
refusals are judged by a trial.
"""

from __future__ import annotations

from ritellm.rate_limits.chance import TOLERATED
from ritellm.rate_limits.sample import Share

# A larger share may be an outage, which a larger window would make worse.
_MOST = 0.6
# A run of this many refusals may be an outage, too.
_RUN = 12
# The number of requests that the last step needs.
_ENOUGH = 32
# A step takes at most this multiple of the time in which refusals arrive.
_STEP = 3.0


class Ascent:
    """Compares the share of refusals of each step with the share before the step."""

    __slots__ = ("_before", "_ends")

    def __init__(self) -> None:
        self._before = Share(0, 0)
        self._ends: float | None = None  # of the present step

    def stepped(self, before: Share, patience: float, now: float) -> None:
        """Record that the window grew; `before` is the share of all requests until now."""
        self._before = before
        self._ends = now + _STEP * patience

    def continues(self, run: int, share: Share, largest: bool, patience: float, now: float) -> bool:
        """Return whether to wait for the next step although `share` of all requests is high.

        `run` is the length of the present run of refusals. No step follows the `largest` size.
        """
        if self._ends is None:
            self._ends = now + _STEP * patience
        if run >= _RUN or share.value > _MOST or now > self._ends:
            return False
        if largest and not self._before.sent:
            return False
        return self._newest(share).at_least() <= self._before.at_most() + TOLERATED

    def shows_noise(self, share: Share) -> bool:
        """Return whether the step was large enough to trust that the refusals are noise."""
        return self._newest(share).sent >= _ENOUGH

    def _newest(self, share: Share) -> Share:
        sent = max(0, share.sent - self._before.sent)
        return Share(min(sent, max(0, share.refused - self._before.refused)), sent)
