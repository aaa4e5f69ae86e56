"""A virtual clock: time jumps from one event to the next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


def _never() -> bool:
    return False


# The shortest wait. A wait that rounding makes too small to advance the time would never end.
_SHORTEST = 1e-6


class Clock:
    """Calls functions at their times, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in `seconds`."""
        seconds = max(_SHORTEST, seconds)
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), call))

    def run(self, seconds: float, done: Callable[[], bool] = _never) -> None:
        """Advance by `seconds`, or less if `done` returns True."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            if done():
                return
            self.now, _, call = heapq.heappop(self._due)
            call()
        if not done():
            self.now = end
