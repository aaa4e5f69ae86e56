"""A runner by hand, for the DoFn of committed streams: state, timers, and bundles that fail.

State and timers change when a bundle ends, as on a runner. All values pass through the coders of
the DoFn, so that only what is durable survives.
"""

from __future__ import annotations

import time

from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.timestamp import Timestamp


class Cell:
    """A value or a bag of the state."""

    def __init__(self, spec, kept):
        self._coder, self._kept = spec.coder, kept

    def read(self):
        if self._kept and self._kept[0] is None:
            return None
        return self._coder.decode(self._kept[0]) if self._kept else None

    def write(self, value):
        self._kept[:] = [self._coder.encode(value)]

    def clear(self):
        self._kept.clear()


class Bag(Cell):
    def read(self):
        return [self._coder.decode(each) for each in self._kept]

    def add(self, value):
        self._kept.append(self._coder.encode(value))


class Timer:
    """A timer as a bundle sets it; `_input_timestamp` is where Beam's holds the watermark."""

    def __init__(self):
        self._input_timestamp = None
        self.set_to = None
        self.is_changed = False

    def set(self, timestamp):
        self.set_to, self.is_changed = Timestamp.of(timestamp), True

    def clear(self):
        self._input_timestamp, self.set_to, self.is_changed = None, None, True


class Shard:
    """The durable state of one shard, and what has been committed of its outputs."""

    key = 3

    def __init__(self):
        self.state, self.prompts, self.due, self.hold, self.at_end = [], [], None, None, False
        self.out = []

    def bundle(self, fn, call, *arguments, fails=False, fired=False):
        """Run a bundle of one call; return its outputs, which are committed unless it fails."""
        state, prompts = list(self.state), list(self.prompts)
        commit, end = Timer(), Timer()
        fn.start_bundle()
        cells = Cell(fn.STATE, state), Bag(fn.PROMPTS, prompts)
        found = list(call(*arguments, *cells, commit, end) or ())
        if fails:
            return found
        self.state, self.prompts, self.out = state, prompts, self.out + found
        if commit.is_changed or fired:  # else the one that is set stays, with its hold
            self.due, self.hold = commit.set_to, commit._input_timestamp
        self.at_end = self.at_end or end.set_to is not None
        return found

    def send(self, fn, encoded, **how):
        """Process a prompt."""
        return self.bundle(fn, fn.process, (self.key, encoded), **how)

    def fire(self, fn, **how):
        """Fire the timer."""
        return self.bundle(fn, fn.commit_shard, self.key, fired=True, **how)

    def end(self, fn, **how):
        """Fire the timer at the end of the input."""
        self.at_end = False
        return self.bundle(fn, fn.end_shard, self.key, **how)

    def finish(self, fn, seconds=30):
        """Fire the timer until no prompt is open."""
        until = time.monotonic() + seconds
        while self.due is not None:
            assert time.monotonic() < until, "a prompt stays open"
            self.fire(fn)
            time.sleep(0.005)

    def values(self):
        """Return the committed outcomes, those of all outputs."""
        return [_untagged(each).value for each in self.out]

    def windowed(self):
        """Return the committed outcomes with their timestamps and windows."""
        return [_untagged(each) for each in self.out]

    def tags(self):
        return [each.tag if isinstance(each, TaggedOutput) else None for each in self.out]


def _untagged(output):
    return output.value if isinstance(output, TaggedOutput) else output
