"""A virtual clock: time jumps from one event to the next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


def _never() -> bool:
    return False


# No event is sooner: a wait that rounding makes too small to move the time would never end.
_SOONEST = 1e-6


class Clock:
    """Calls what is due, in order of time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` so many seconds from now."""
        seconds = max(_SOONEST, seconds)
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), call))

    def run(self, seconds: float, done: Callable[[], bool] = _never) -> None:
        """Let so many seconds pass, or fewer: until `done`."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            if done():
                return
            self.now, _, call = heapq.heappop(self._due)
            call()
        if not done():
            self.now = end
