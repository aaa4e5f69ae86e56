"""The time in which anything of a process is held back: at most the time that passes. Pure.

Other threads read it, so each change replaces its whole state at once.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple


class _State(NamedTuple):
    seconds: float  # counted
    until: float  # up to this time
    running: bool

    def at(self, now: float) -> float:
        """Return the seconds until `now`."""
        return self.seconds + (max(0.0, now - self.until) if self.running else 0.0)


class Stopwatch:
    """Runs while anything holds it; two holders at a time count once. So does `whole`."""

    def __init__(self, whole: Stopwatch | None = None) -> None:
        self._whole = whole
        self._holders: set[Hashable] = set()
        self._state = _State(0.0, float("-inf"), False)

    def hold(self, holder: Hashable, held: bool, now: float) -> None:
        """Note that `holder` is held back from `now` on, or no longer."""
        if held is not (holder in self._holders):
            (self._holders.add if held else self._holders.discard)(holder)
            self._state = _State(self._state.at(now), now, bool(self._holders))
            if self._whole is not None:
                self._whole.hold(self, bool(self._holders), now)

    def add(self, since: float, now: float) -> None:
        """Note that something has been held back from `since` until `now`."""
        seconds, until, running = self._state
        if not running and now > until:
            self._state = _State(seconds + now - max(since, until), now, False)
        if self._whole is not None:
            self._whole.add(since, now)

    def seconds(self, now: float) -> float:
        """Return the seconds so far."""
        return self._state.at(now)
