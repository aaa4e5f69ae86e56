"""How many requests may be in flight, learnt from what the provider refuses. Pure.

The problem: a refusal (429, 503, 529) can mean that too many requests are sent, or nothing at all:
one replica of many is full, or a load balancer restarts. Sending less helps against the first. It
does nothing against the second but cost time.

The idea: refusals of a few percent cost less than any reaction to them, so nothing happens. Once
the share of refusals is larger, or so many come in a row that chance does not explain them, the
window falls to what the provider accepts. That is a trial. If the requests that are sent after the
first round of it are refused as often as before, the refusals are noise: the window returns, and
that share is expected from then on. If they are refused less often, the window stays.

    OPEN --too many refused--> TRIAL --refused less often--> HELD --grows to the most--> OPEN
      ^                        |   ^                          |
      +---refused as often-----+   +------too many refused----+
                               |
             nothing accepted: all pause, then the window grows from 1 again

What is expected is verified from time to time by another trial. In HELD, each acceptance lets a
full window grow a little. A surprising refusal first spreads the requests more evenly over time,
then lets the window fall. So a provider with a fixed number of places refuses about one in twenty.

Invariants: 1 <= size <= most. Requests sent before the last change tell nothing about it. No
request waits for longer than `paused_until`, but for the end of another.
"""

from __future__ import annotations

from dataclasses import dataclass

from ritellm.rate_limits.growth import Growth
from ritellm.rate_limits.sample import Permit, Sample, Share
from ritellm.rate_limits.verdict import Verdict, verdict

# The window of a provider that is not known yet.
_FIRST = 32.0
# Refusals beyond the expected share that are not worth a reaction.
_TOLERATED = 0.06
# Requests that tell something, in a small window and in a large one, and that tell much.
_FEW, _FEWEST, _ENOUGH = 8, 16, 32
# How often a run of refusals comes about by chance in a window's worth of requests, to be odd.
_ODD_IN_OPEN, _ODD_IN_HELD = 0.01, 0.1
# The share of refusals that is taken for chance where none is expected.
_CHANCE_IN_OPEN, _CHANCE_IN_HELD = 0.1, 0.0003
# The share that HELD expects at most: at first, and more after each trial that changed nothing.
# Where other jobs share the limit, none alone changes the share; each would expect ever more.
_HELD_AT_FIRST, _HELD_STEP, _HELD_MOST = 0.15, 0.1, 0.2
# The window falls by this factor where the requests are spread more evenly instead.
_SPREAD_CUT = 0.98
# A larger share is never taken for noise.
_MOST_NOISE = 0.7
# The window falls by this factor. The way back to what was known to work is quick up to this part.
_CUT, _KNOWN = 0.7, 0.9
# So many refusals in a row: the provider takes nothing at the moment.
_OUTAGE_RUN = 8
# Seconds that all wait then, doubled each time.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# Seconds between trials of an expected share that is not small, doubled each time.
_VERIFY, _LONGEST_VERIFY, _SMALL = 0.5, 30.0, 0.08
# A trial takes this part of the time at most.
_TRIALS = 1 / 8


@dataclass(slots=True)
class _Trial:
    """What there was before the window fell."""

    size: float  # to return to
    was_open: bool
    since: float  # it is compared with requests sent from then on,
    until: float  # and until then
    left: int  # requests of the first round: in flight when it began, and not over
    before: Share | None = None  # once known: the sample forgets it


class Window:
    """The number of requests that may be in flight, between 1 and `most`."""

    def __init__(self, most: int, now: float) -> None:
        self.most = float(most)
        self.size = min(self.most, _FIRST)
        self.ceiling = self.most  # set by who knows of another reason to send less
        self.expected = 0.0  # the share of refusals that sending less does not lower
        self.paused_until = now
        self.fell_at = float("-inf")
        self._open = True
        self._trial: _Trial | None = None
        self._growth = Growth(self.most, now)
        self._sample = Sample()
        self._since = now  # older requests tell nothing about the window as it is
        self._started_at = self._cut_at = now
        self._verify_at, self._verify_after = now, _VERIFY
        self._pauses = 0  # without an acceptance between them

    @property
    def held(self) -> bool:
        """Whether refusals, not the caller, limit what is in flight."""
        return not self._open

    @property
    def trying(self) -> bool:
        """Whether less is sent only to learn what the refusals are due to."""
        return self._trial is not None and self._trial.was_open

    def rate(self, now: float) -> float | None:
        """Return the requests a second that were accepted in the last seconds, if known."""
        return self._sample.rate(now - 10.0, now - self._sample.patience)

    def lately(self, now: float) -> Share:
        """Return the share that was refused of the requests of the last seconds."""
        return self._sample.share(now - 10.0, now)

    def wait(self, in_flight: int, now: float) -> float | None:
        """Return the seconds until one more may start; None if only an end can make room."""
        if now < self.paused_until:
            return self.paused_until - now
        if in_flight < int(min(self.size, self.ceiling)):
            return 0.0 if self._open else self._until_next_start(now)
        return self._until_larger(now) if self.size < self.ceiling else None

    def start(self, permit: Permit, in_flight: int, now: float) -> None:
        """Note that a request starts, one of `in_flight`."""
        self._started_at = now
        permit.waited = in_flight >= int(self.size)
        beyond = self.size > self._growth.goal
        permit.probe = permit.waited and beyond and self._growth.grown_at == now
        self._sample.add(permit)

    def accepted(self, permit: Permit, in_flight: int, now: float) -> None:
        """Note that the provider took a request."""
        if permit.started < self._since:
            return
        self._pauses = 0
        self._growth.accepted(self.size, permit.probe)
        if permit.waited and (self._trial is None or self._growth.slow_start):
            self._become(self.size + self._growth.gain(self.size))
        self._judge(in_flight, now)

    def completed(self, seconds: float, now: float) -> None:
        """Note that a response was whole, after so many seconds in flight."""
        self._growth.completed(seconds)
        trial = self._trial
        if trial is not None and trial.left > 0:
            trial.left -= 1
            if not trial.left:
                self._since = now

    def refused(
        self, permit: Permit, in_flight: int, now: float, retry_after: float | None
    ) -> None:
        """Note that the provider refused a request; `in_flight` others are left."""
        self._sample.refused(permit, now)
        if permit.started >= self._since:
            self._growth.refused(permit.probe)
        run, share = self._sample.run(permit), self._sample.share(self._since, now)
        if self._is_outage(run, in_flight, retry_after):
            self._pause(in_flight, retry_after, now)
        elif self._trial is not None:
            if run >= 2 and now >= self.paused_until:
                self._shrink(run, permit, in_flight, now)
        elif self._is_high(share) or (self._open and self._is_odd(run)):
            self._begin_trial(share, in_flight, now)
        elif not self._open and self._is_odd(run):
            self._fall(run, in_flight, now)
        self._judge(in_flight, now)

    # What refusals say

    def _is_odd(self, run: int) -> bool:
        """Return whether chance does not explain so many refusals in a row."""
        chance, rare = (
            (_CHANCE_IN_OPEN, _ODD_IN_OPEN) if self._open else (_CHANCE_IN_HELD, _ODD_IN_HELD)
        )
        return max(self.expected, chance) ** run < rare / max(8.0, self.size)

    def _is_high(self, share: Share) -> bool:
        return share.sent >= _FEWEST and share.at_least(2.0) > self.expected + _TOLERATED

    def _is_doubtful(self, share: Share) -> bool:
        """Return whether it is worth a trial to know what `share` is due to."""
        if share.sent < _ENOUGH:
            return False
        often = share.at_least() > self.expected + 0.01
        return self.expected > _SMALL or (share.sent >= 4 * _ENOUGH and often)

    def _ripe(self, now: float) -> Share:
        """Return the share of the requests that would have been refused by now."""
        return self._sample.share(self._since, now - self._sample.patience)

    def _is_outage(self, run: int, in_flight: int, retry_after: float | None) -> bool:
        """Return whether nothing is accepted at the moment, and all had better wait."""
        if self._trial is None or (in_flight and retry_after is None and not self._pauses):
            return False
        return run >= _OUTAGE_RUN and self._is_odd(run)

    # Trials

    def _begin_trial(self, share: Share, in_flight: int, now: float) -> None:
        size = max(self.size, self._growth.goal) if self._open else self.size
        self._trial = _Trial(size, self._open, self._since, now, in_flight)
        self._open = False
        self._send_less(share, in_flight, now)

    def _send_less(self, share: Share, in_flight: int, now: float) -> None:
        kept = max(self.size * (1 - share.value), _CUT * in_flight)
        self._fall_to(min(self.size * _KNOWN, kept), now)
        self._since = now

    def _verify(self, in_flight: int, now: float) -> None:
        """Begin a trial if it is time for one and the share of refusals is in doubt."""
        if now < self._verify_at or (self._open and self.expected <= _SMALL):
            return  # the usual case, for each response: the sample is not read
        ripe = self._ripe(now)
        if self._is_doubtful(ripe):
            self._begin_trial(ripe, in_flight, now)
        else:
            self._verify_at = now + self._sample.patience

    def _judge(self, in_flight: int, now: float) -> None:
        """See what a trial has shown; without one, see whether it is time for one."""
        trial = self._trial
        if trial is None:
            self._verify(in_flight, now)
            return
        if trial.before is None and now - self._sample.patience >= trial.until:
            trial.before = self._sample.share(trial.since, trial.until)
        if trial.left > 0:
            return
        ripe, need = self._ripe(now), min(_ENOUGH, max(_FEW, int(2 * self.size)))
        if ripe.sent < need:
            return
        before = trial.before or self._sample.share(trial.since, trial.until)
        found = verdict(before, ripe, _TOLERATED, ripe.sent >= 4 * need)
        if found is Verdict.SAME and ripe.value > _MOST_NOISE:
            found = Verdict.LESS  # many jobs share a limit: sending all the more helps none of them
        if found is Verdict.WORSE:
            self._trial = _Trial(trial.size, trial.was_open, self._since, now, in_flight)
            self._send_less(ripe, in_flight, now)
        elif found is Verdict.SAME:
            self._return(trial, ripe, now)
        elif found is Verdict.LESS:
            most = _HELD_AT_FIRST if trial.was_open else self.expected / 2
            self._end_trial(trial, min(ripe.at_least(), most), now)
            self._verify_after = _VERIFY
            self._growth.works_at(self.size)

    def _return(self, trial: _Trial, found: Share, now: float) -> None:
        """Go back to where the trial began, but in HELD only if that share is acceptable there.

        Where next to nothing is in flight and much of it is refused, the window is not the cause:
        it opens, too.
        """
        opens = trial.was_open or (self.size < _FEW and found.at_least() > _HELD_MOST)
        most = 1.0 if opens else min(_HELD_MOST, self.expected + _HELD_STEP)
        self._end_trial(trial, min(found.value, most), now)
        self._verify_after = min(_LONGEST_VERIFY, 2 * self._verify_after)
        self._open = opens
        self._growth.goal = trial.size if trial.was_open else max(trial.size, _FIRST)
        if not opens:
            acceptable = found.at_least() <= self.expected + _TOLERATED
            self._become(trial.size if acceptable else self.size)
            self._growth.goal = self.size

    def _end_trial(self, trial: _Trial, expected: float, now: float) -> None:
        self._trial, self._since, self.expected = None, now, expected
        self._verify_at = now + max(self._verify_after, (now - trial.until) / _TRIALS)

    # How it falls

    def _fall(self, run: int, in_flight: int, now: float) -> None:
        """Spread the requests where a single one was refused, else fall to what works."""
        if run == 1 and self._growth.narrowed():
            self._become(self.size * _SPREAD_CUT)
            return
        least = max(self.size * _CUT, self._growth.works)
        self._fall_to(min(self.size, least, float(in_flight)), now)
        self._growth.works = min(self._growth.works, self.size)

    def _shrink(self, run: int, permit: Permit, in_flight: int, now: float) -> None:
        """Fall to what is in flight where the window was full, else towards it."""
        least = float(in_flight) if run >= _OUTAGE_RUN else max(float(in_flight), float(_FEW))
        if not permit.waited:
            least = max(least, self.size - 1)
            if run >= _OUTAGE_RUN and now >= self._cut_at:
                least = max(float(in_flight), self.size * _CUT)
                self._cut_at = now + self._sample.patience
        self._become(min(self.size, least))
        self._growth.goal = self.size
        self._growth.slow_start = run >= _OUTAGE_RUN

    def _fall_to(self, size: float, now: float) -> None:
        self._become(size)
        self._growth.fell(self.size)
        self.fell_at = now

    def _pause(self, in_flight: int, retry_after: float | None, now: float) -> None:
        """Let all wait; then the window grows again, from 1 to a part of what it was."""
        if now < self.paused_until:
            return
        pause = min(_LONGEST_PAUSE, _PAUSE * 2.0**self._pauses)
        self.paused_until = self._since = now + (pause if retry_after is None else retry_after)
        if not self._pauses:
            before = self.size if self._trial is None else self._trial.size
            goal = min(self.size * _CUT, in_flight) if in_flight else before * _KNOWN
            self._growth.goal = max(1.0, goal)
        self._growth.slow_start = in_flight > 0
        self._pauses += 1
        self._become(1.0)
        self._growth.grown_at = self.paused_until  # else the first to go would be two
        self.fell_at = now

    # How it grows

    def _until_next_start(self, now: float) -> float:
        gap = self._growth.gap(self.size) * (1 - self.expected)
        return max(0.0, self._started_at + gap - now)

    def _until_larger(self, now: float) -> float:
        """Make a full window larger if it is time; return the seconds until it is."""
        seconds, larger = self._growth.larger(self.size, self._sample.patience, now)
        if seconds > 0:
            return seconds
        self._become(larger)
        self._growth.grown_at = now
        return 0.0

    def _become(self, size: float) -> None:
        self.size = min(self.most, max(1.0, size))
        if self._trial is None and self.size >= self.most:
            self._open = True
