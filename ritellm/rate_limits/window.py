"""How many requests may be in flight, learned from the provider's refusals. Pure.

The problem: a refusal (429, 503, 529) can mean that the job sends too many requests, or nothing at
all: one replica of many is full, or a load balancer restarts. Sending less helps against the first
cause. Against the second it only costs time.

The idea: a few percent of refusals cost less than any reaction to them, so nothing happens. If the
share of refusals becomes larger, or a run of refusals is too long for chance, the window falls to
what the provider accepts. That is a trial (`trial`). If the provider refuses requests as often as
before, the refusals are noise: the window returns to its size and expects that share from then on.
If the provider refuses them less often, the window stays small.

    OPEN --too many refused--> TRIAL --refused less often--> HELD --grows to `most`--> OPEN
      ^                        |   ^                          |
      +---refused as often-----+   +------too many refused----+
                               |
             nothing accepted: all requests pause, then the window grows again from 1

While the window first doubles, its next step answers that question sooner (`ascent`). From time to
time another trial verifies the expected share. In HELD, each acceptance lets a full
window grow a little. A surprising refusal first spreads the requests more evenly over time; the
next one makes the window fall. So a provider with a fixed number of places refuses about one
request in twenty.

Invariants: 1 <= size <= most. Requests sent before the last change of the window are no evidence
for the next. A request waits until `paused_until` at most, or until another request ends.
"""

from __future__ import annotations

from ritellm.rate_limits.ascent import Ascent
from ritellm.rate_limits.chance import is_acceptable, is_high, is_odd
from ritellm.rate_limits.growth import Growth
from ritellm.rate_limits.outage import CUT, RUN, Outage
from ritellm.rate_limits.sample import FEW, Permit, Sample, Share
from ritellm.rate_limits.trial import VERIFY, Trial, Verification
from ritellm.rate_limits.verdict import Verdict

# The window of a provider that is not known yet.
_FIRST = 32.0
# The largest share that HELD expects: at first, and the increase after a trial without a change.
# If other jobs share the limit, one job cannot change the share; each would expect more and more.
_HELD_AT_FIRST, _HELD_STEP, _HELD_MOST = 0.15, 0.1, 0.2
# The window falls by this factor if the requests are spread more evenly instead.
_SPREAD_CUT = 0.98
# A timer that is late by up to this many seconds does not delay the requests after it. Otherwise
# requests that are spread over time would never fill the window, and it could not grow.
_LATE = 0.02
# The window returns quickly to this part of the size that was known to work.
_KNOWN = 0.9


class Window:
    """The number of requests that may be in flight, between 1 and `most`."""

    def __init__(self, most: int, now: float) -> None:
        self.most = float(most)
        self.size = min(self.most, _FIRST)
        self.ceiling = self.most  # a limit that the pace sets for other reasons
        self.expected = 0.0  # the share of refusals that sending less does not lower
        self.paused_until = now
        self.fell_at = float("-inf")
        self._open = True
        self._trial: Trial | None = None
        self._verification = Verification(now)
        self._outage = Outage(now)
        self._ascent: Ascent | None = Ascent()  # until its end
        self._growth = Growth(self.most, now)
        self.sample = Sample()
        self._since = now  # requests sent earlier are no evidence about the present window
        self._started_at = now
        self._due: float | None = None  # a request waits only until then

    def allow(self, most: int, ceiling: float) -> None:
        """Allow the window to grow to `most`; `ceiling` is the limit for other reasons."""
        self.most, self.ceiling = float(most), ceiling

    @property
    def held(self) -> bool:
        """Whether refusals, not the caller, limit the requests in flight."""
        return not self._open

    @property
    def trying(self) -> bool:
        """Whether the job sends less only to learn the cause of the refusals."""
        return self._trial is not None and self._trial.was_open

    def wait(self, in_flight: int, now: float) -> float | None:
        """Return the seconds until one more may start; None if a request must end first."""
        if now < self.paused_until:
            self._due = None
            return self.paused_until - now
        if in_flight < int(min(self.size, self.ceiling)):
            if self._open:
                return 0.0
            due = self._started_at + self._growth.gap(self.size) * (1 - self.expected)
            if due > now:
                self._due = due
            return max(0.0, due - now)
        self._due = None
        return self._until_larger(now) if self.size < self.ceiling else None

    def start(self, permit: Permit, in_flight: int, now: float) -> None:
        """Record that a request starts, one of `in_flight`."""
        self._started_at = now if self._due is None else max(min(self._due, now), now - _LATE)
        self._due = None
        permit.waited = in_flight >= int(self.size)
        beyond = self.size > self._growth.goal
        permit.probe = permit.waited and beyond and self._growth.grown_at == now
        self.sample.add(permit)

    def accepted(self, permit: Permit, in_flight: int, now: float) -> None:
        """Record that the provider accepted a request."""
        if permit.started < self._since:
            return
        self._outage.pauses = 0
        self._growth.accepted(self.size, permit.probe)
        if permit.waited and (self._trial is None or self._growth.slow_start):
            self._become(self.size + self._growth.gain(self.size))
        self._judge(in_flight, now)

    def completed(self, seconds: float, now: float) -> None:
        """Record that a response is complete, after `seconds` in flight."""
        self._growth.completed(seconds)
        trial = self._trial
        if trial is not None and trial.left > 0:
            trial.left -= 1
            if not trial.left:
                self._since = now

    def refused(
        self, permit: Permit, in_flight: int, now: float, retry_after: float | None
    ) -> None:
        """Record that the provider refused a request; `in_flight` others remain."""
        self.sample.refused(permit, now)
        if permit.started >= self._since:
            self._growth.refused(permit.probe)
        run, share = self.sample.run(permit), self.sample.share(self._since, now)
        odd = is_odd(run, self.expected, self.size, self._open)
        if self._trial is not None:
            if odd and self._outage.is_on(run, in_flight, retry_after):
                self._pause(self._trial, in_flight, retry_after, now)
            elif run >= 2 and now >= self.paused_until:
                self._shrink(run, permit, in_flight, now)
        elif is_high(share, self.expected) or (odd and self._open):
            if not self._ascends(run, share, now):
                self._begin_trial(share, in_flight, now)
        elif odd:
            self._fall(run, in_flight, now)
        self._judge(in_flight, now)

    # Trials

    def _begin_trial(self, share: Share, in_flight: int, now: float) -> None:
        size = max(self.size, self._growth.goal) if self._open else self.size
        self._trial = Trial(size, self._open, self._since, now, in_flight)
        self._open = False
        self._send_less(share, in_flight, now)

    def _send_less(self, share: Share, in_flight: int, now: float) -> None:
        kept = max(self.size * (1 - share.value), CUT * in_flight)
        self._fall_to(min(self.size * _KNOWN, kept), now)
        self._since = now

    def _judge(self, in_flight: int, now: float) -> None:
        """Act on the result of a trial; without one, begin another if it is due."""
        if self._trial is not None:
            self._conclude(self._trial, in_flight, now)
        elif self._verification.is_due(self._open, self.expected, now):
            share = self.sample.known_share(self._since, now)
            if self._verification.is_worthwhile(share, self.expected):
                self._begin_trial(share, in_flight, now)
            else:
                self._verification.postpone(self.sample.patience, now)

    def _conclude(self, trial: Trial, in_flight: int, now: float) -> None:
        result = trial.result(self.sample, self._since, self.size, now)
        if result is None:
            return
        found, share = result
        if found is Verdict.WORSE:
            self._trial = Trial(trial.size, trial.was_open, self._since, now, in_flight)
            self._send_less(share, in_flight, now)
        elif found is Verdict.SAME:
            self._return(trial, share, now)
        else:
            most = _HELD_AT_FIRST if trial.was_open else self.expected / 2
            self._end_trial(trial, min(share.at_least(), most), True, now)
            self._growth.works_at(self.size)

    def _return(self, trial: Trial, share: Share, now: float) -> None:
        """Return to the size before the trial; in HELD only if `share` is acceptable there.

        If the provider refuses many of very few requests, the window is not the cause. Then it
        opens, too.
        """
        opens = trial.was_open or (self.size < FEW and share.at_least() > _HELD_MOST)
        most = 1.0 if opens else min(_HELD_MOST, self.expected + _HELD_STEP)
        self._end_trial(trial, min(share.value, most), False, now)
        self._open = opens
        self._growth.goal = trial.size if trial.was_open else max(trial.size, _FIRST)
        if not opens:
            self._become(trial.size if is_acceptable(share, self.expected) else self.size)
            self._growth.goal = self.size

    def _end_trial(self, trial: Trial, expected: float, changed: bool, now: float) -> None:
        self._trial, self._since, self.expected = None, now, expected
        self._verification.ended(trial, changed, now)

    def _ascends(self, run: int, share: Share, now: float) -> bool:
        """Return whether a high `share` is noise, or a larger window will soon show the cause."""
        ascent, largest = self._ascent, self.size >= self._growth.goal
        if ascent is None or not ascent.continues(run, share, largest, self.sample.patience, now):
            self._ascent = None
            return False
        if largest and ascent.shows_noise(share):
            self._ascent = None
            self.expected = self.sample.known_share(self._since, now).value
            self._verification.postpone(VERIFY, now)
        return True

    # Falls

    def _fall(self, run: int, in_flight: int, now: float) -> None:
        """Spread the requests after a single refusal; otherwise fall to a size that works."""
        if run == 1 and self._growth.narrowed():
            self._become(self.size * _SPREAD_CUT)
            return
        least = max(self.size * CUT, self._growth.works)
        self._fall_to(min(self.size, least, float(in_flight)), now)
        self._growth.works = min(self._growth.works, self.size)

    def _shrink(self, run: int, permit: Permit, in_flight: int, now: float) -> None:
        full, patience = permit.waited, self.sample.patience
        self._become(self._outage.shrunk(self.size, run, in_flight, full, patience, now))
        self._growth.goal = self.size
        self._growth.slow_start = run >= RUN

    def _fall_to(self, size: float, now: float) -> None:
        self._become(size)
        self._growth.fell(self.size)
        self.fell_at = now

    def _pause(self, trial: Trial, in_flight: int, retry_after: float | None, now: float) -> None:
        """Pause all requests; then the window grows from 1 to a part of its former size."""
        if now < self.paused_until:
            return
        if not self._outage.pauses:
            goal = min(self.size * CUT, in_flight) if in_flight else trial.size * _KNOWN
            self._growth.goal = max(1.0, goal)
        self.paused_until = self._since = now + self._outage.pause(retry_after)
        self._growth.slow_start = in_flight > 0
        self._become(1.0)
        self._growth.grown_at = self.paused_until  # otherwise two requests would start at once
        self.fell_at = now

    # Growth

    def _until_larger(self, now: float) -> float:
        """Enlarge a full window if it is time; return the seconds until then."""
        seconds, larger = self._growth.larger(self.size, self.sample.patience, now)
        if seconds > 0:
            return seconds
        if self._ascent is not None:
            self._ascent.stepped(self.sample.share(self._since, now), self.sample.patience, now)
        self._become(larger)
        self._growth.grown_at = now
        return 0.0

    def _become(self, size: float) -> None:
        self.size = min(self.most, max(1.0, size))
        if self._trial is None and self.size >= self.most:
            self._open = True
