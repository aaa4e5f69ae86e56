"""How a full window grows, and how its requests are spread over time. Pure.

A window grows in four ways:

- up to `goal`, which is known to work or not known to be too much, it doubles each time that a
  refusal of the requests before would have come;
- after a fall to what little was accepted, each acceptance adds one, until the next refusal;
- beyond the goal, each acceptance adds a little. That doubles with each window of requests without
  a fall, so that the way back from a twentieth of the capacity takes seconds;
- where nothing ends for a while (long responses), it tries one more request. The time between such
  tries doubles with each that is refused and shrinks with each that is accepted, so that it comes
  to the rate at which the provider takes requests.

Once requests are refused, those that end together do not start together: a provider that counts
requests a second sees an even stream.
"""

from __future__ import annotations

# What an acceptance adds to a full window.
_GAIN = 0.03
# Seconds after which a full window in which nothing ends tries one more; how that time changes.
_STEP, _LONGEST_STEP = 0.25, 30.0
_STEP_DOWN, _STEP_UP = 0.9, 2.0
# Requests start at this multiple of the speed at which they end; how that changes.
_SPREAD, _NARROWEST, _WIDEST = 4.0, 1.1, 8.0
_NARROWER, _WIDER = 0.5, 1.1
# Starts at this multiple are nearly even.
_NARROW = 1.2
# A window of fewer requests counts as one of so many.
_FEWEST = 16


class Growth:
    """The state of a window's growth; the window itself is handed in as `size`."""

    def __init__(self, goal: float, now: float) -> None:
        self.goal = goal
        self.works = goal  # this size has been accepted for a whole window
        self.grown_at = now
        self.slow_start = False  # nothing is known of the size: grow until the next refusal
        self._before = 0.0  # the size a window ago
        self._step = _STEP
        self._clean = 0  # acceptances since the last fall
        self._hold = 0.0  # seconds that a request is in flight
        self._spread = _SPREAD

    def gap(self, size: float) -> float:
        """Return the seconds between two starts, for a window of `size`."""
        return self._hold / (self._spread * size)

    def completed(self, seconds: float) -> None:
        """Note that a request was in flight for so long."""
        self._hold += (seconds - self._hold) / 8 if self._hold else seconds

    def accepted(self, size: float, probe: bool) -> None:
        """Note an acceptance."""
        self._clean += 1
        if probe:
            self._step *= _STEP_DOWN
        if self._clean % self._window(size) == 0:
            self._spread = min(_WIDEST, 1 + (self._spread - 1) * _WIDER)
            self.works, self._before = max(self.works, self._before), size

    def gain(self, size: float) -> float:
        """Return what an acceptance adds to a window of `size` that was full."""
        if self.slow_start:
            return 1.0
        if size < self.goal:
            return 0.0
        return min(1.0, _GAIN * 2.0 ** min(10, self._clean // self._window(size)))

    def refused(self, probe: bool) -> None:
        """Note a refusal, which need not make the window fall."""
        self.slow_start = False
        if probe:
            self._step = min(_LONGEST_STEP, self._step * _STEP_UP)

    def fell(self, size: float) -> None:
        """Note that the window fell to `size`."""
        self._clean, self._before = 0, 0.0
        self._spread = max(_NARROWEST, 1 + (self._spread - 1) * _NARROWER)
        self.goal = size

    def narrowed(self) -> bool:
        """Spread the starts more evenly; return False where they are nearly even already."""
        if self._spread <= _NARROW:
            return False
        self._clean = 0
        self._spread = max(_NARROWEST, 1 + (self._spread - 1) * _NARROWER)
        return True

    def works_at(self, size: float) -> None:
        """Note that a window of `size` is what the provider accepts."""
        self.works, self._before = size, 0.0

    def larger(self, size: float, patience: float, now: float) -> tuple[float, float]:
        """Return (seconds, size): after how long a full window may grow, and to what."""
        if size < self.goal:
            return self.grown_at + patience - now, max(size + 1, min(self.goal, size * 2))
        return self.grown_at + max(patience, self._step) - now, size + 1

    @staticmethod
    def _window(size: float) -> int:
        return max(_FEWEST, int(size))
