"""Counts the work of a template for one row, so that its time and its memory have a bound.

The author of a template has not seen every row. A loop over a long list, or a text that is
repeated, must end in an error of that row, before it fills the memory of the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

# Characters and items that a template may make for a row, results in between included.
MOST_WORK = 20_000_000
# Seconds of CPU time for a row with loops. Counted work takes less, comparisons are not counted.
MOST_SECONDS = 5.0
# The clock is read once in this many rounds of a loop: a round takes less than 0.1 s.
_ROUNDS = 16
# What an item of a list counts: a list of short texts takes about this many bytes for each.
ITEM = 8

# The key of the row's `Meter` in the context; a template cannot name it.
METER = " meter"

TOO_MUCH = f"it makes more than {MOST_WORK:,} characters and items for a row"


class TooMuchWork(ValueError):
    """A template that needs more than a row may cost."""


class NullError(ValueError):
    """A null where a template needs a value."""

    def __init__(self) -> None:
        super().__init__("a column is null; write {{ column or '' }} if it may be")


class Meter:
    """The work that is left for one row."""

    __slots__ = ("_clock", "_left", "_rounds", "_started")

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._left = MOST_WORK
        self._clock = clock
        self._rounds = 0
        self._started: float | None = None

    def charge(self, work: int) -> None:
        """Count `work` before it is done; raises TooMuchWork."""
        self._left -= work + 1
        if self._left < 0:
            raise TooMuchWork(TOO_MUCH)

    def charged(self, value: Any) -> Any:
        """Return `value`, which a step has made, and count its size; an iterator counts later."""
        if isinstance(value, str):
            self.charge(len(value))
        elif isinstance(value, (list, tuple, dict)):
            self.charge(ITEM * len(value))
        elif isinstance(value, Iterator):
            return self._each(value)
        return value

    def rounds(self, items: Any) -> Iterator[Any]:
        """Yield the items of a loop, and look at the clock now and then between them."""
        if self._started is None:
            self._started = self._clock()
        for item in items:
            self.charge(ITEM)
            self._rounds += 1
            if not self._rounds % _ROUNDS and self._clock() - self._started > MOST_SECONDS:
                raise TooMuchWork(f"it takes more than {MOST_SECONDS:g} s for a row")
            yield item

    def _each(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in self.rounds(items):
            yield self.charged(item)
