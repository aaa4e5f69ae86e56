"""How a full window grows, and how its requests are spread over time. Pure.

A window grows in four ways:

- Up to `goal`, a size that is known to work or not known to be too large, it doubles. Between two
  steps it waits until refusals of the previous requests would have arrived.
- After a fall to the few requests that were accepted, each acceptance adds one, until the next
  refusal (slow start).
- Beyond the goal, each acceptance adds a little. The gain doubles with each window of requests
  without a fall, so that a window recovers from a twentieth of the capacity within seconds.
- If no request ends for a while (long responses), it probes with one more request. The interval
  between probes doubles when a probe is refused and shrinks when one is accepted. So it approaches
  the rate at which the provider accepts requests.

Once the provider refuses requests, requests that end together do not start together. A provider
that counts requests per second sees an even stream.
"""

from __future__ import annotations

# What an acceptance adds to a full window.
_GAIN = 0.03
# Seconds after which a full window in which nothing ends probes; how that interval changes.
_STEP, _LONGEST_STEP = 0.25, 30.0
_STEP_DOWN, _STEP_UP = 0.9, 2.0
# Requests may start this many times as fast as they end; how that factor changes.
_SPREAD, _NARROWEST, _WIDEST = 4.0, 1.1, 8.0
_NARROWER, _WIDER = 0.5, 1.1
# Below this factor the starts are nearly even.
_NARROW = 1.2
# A smaller window counts as a window of this many requests.
_FEWEST = 16


class Growth:
    """The state of a window's growth; `size` is the size of the window itself."""

    def __init__(self, goal: float, now: float) -> None:
        self.goal = goal
        self.works = goal  # the provider has accepted a whole window of this size
        self.grown_at = now
        self.slow_start = False  # the right size is unknown: grow until the next refusal
        self._before = 0.0  # the size one window of requests ago
        self._step = _STEP
        self._clean = 0  # acceptances since the last fall
        self._hold = 0.0  # seconds that a request is in flight
        self._spread = _SPREAD

    def gap(self, size: float) -> float:
        """Return the seconds between two starts, for a window of `size`."""
        return self._hold / (self._spread * size)

    def completed(self, seconds: float) -> None:
        """Record that a request was in flight for `seconds`."""
        self._hold += (seconds - self._hold) / 8 if self._hold else seconds

    def accepted(self, size: float, probe: bool) -> None:
        """Record an acceptance."""
        self._clean += 1
        if probe:
            self._step *= _STEP_DOWN
        if self._clean % self._window(size) == 0:
            self._spread = min(_WIDEST, 1 + (self._spread - 1) * _WIDER)
            self.works, self._before = max(self.works, self._before), size

    def gain(self, size: float) -> float:
        """Return what an acceptance adds to a full window of `size`."""
        if self.slow_start:
            return 1.0
        if size < self.goal:
            return 0.0
        return min(1.0, _GAIN * 2.0 ** min(10, self._clean // self._window(size)))

    def refused(self, probe: bool) -> None:
        """Record a refusal; the window need not fall."""
        self.slow_start = False
        if probe:
            self._step = min(_LONGEST_STEP, self._step * _STEP_UP)

    def fell(self, size: float) -> None:
        """Record that the window fell to `size`."""
        self._clean, self._before = 0, 0.0
        self._spread = max(_NARROWEST, 1 + (self._spread - 1) * _NARROWER)
        self.goal = size

    def narrowed(self) -> bool:
        """Spread the starts more evenly; return False if they are nearly even already."""
        if self._spread <= _NARROW:
            return False
        self._clean = 0
        self._spread = max(_NARROWEST, 1 + (self._spread - 1) * _NARROWER)
        return True

    def works_at(self, size: float) -> None:
        """Record that the provider accepts a window of `size`."""
        self.works, self._before = size, 0.0

    def larger(self, size: float, patience: float, now: float) -> tuple[float, float]:
        """Return the seconds until a full window may grow, and its size after that."""
        if size < self.goal:
            return self.grown_at + patience - now, max(size + 1, min(self.goal, size * 2))
        return self.grown_at + max(patience, self._step) - now, size + 1

    @staticmethod
    def _window(size: float) -> int:
        return max(_FEWEST, int(size))
