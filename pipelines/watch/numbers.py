"""The sums over the outcomes of a job that runs, and the page's data made of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.outputs.report import Reported, Totals
from pipelines.pages.activity import current
from pipelines.pages.data import Json, fitted_rows, numbers_of
from pipelines.pages.options import PageOptions

# The rows that the live page has at most; the page at the end has more.
MOST_ROWS = 200
# The outcomes that wait for the watch at most. Beyond that the watch misses some.
_MOST_WAITING = 50_000
_MOST_BYTES = 1_000_000


class Numbers:
    """The sums over outcomes. `take` may be called from any thread and waits for nothing."""

    def __init__(self, options: PageOptions, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self.text = options.text
        self.missed = 0
        self._totals = Totals(PageOptions(min(options.rows, MOST_ROWS), options.text))
        self._waiting: deque[Reported] = deque()
        self._lock = threading.Lock()

    def take(self, outcome: Reported) -> None:
        """Count `outcome` soon."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(outcome)
        else:
            self.missed += 1

    def take_all(self, outcomes: Iterable[Reported]) -> None:
        """Count many outcomes now."""
        with self._lock:
            for outcome in outcomes:
                self._totals.add(outcome)

    def settle(self) -> bool:
        """Count what waits; return whether there was anything."""
        count = len(self._waiting)
        self.take_all(self._waiting.popleft() for _ in range(count))
        return count > 0

    def numbers(self, state: Mapping[str, Any]) -> Json:
        """Return the part of the page's data without rows."""
        with self._lock:
            report = {**self.facts, **self._totals.as_dict()}
            return numbers_of(report, self._totals.details, current(), self.text, state)

    def rows(self) -> Json:
        """Return the part with rows."""
        with self._lock:
            return fitted_rows(self._totals.details, _MOST_BYTES)
