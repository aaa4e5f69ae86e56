"""Limits how many names from rows and providers are counted: each costs memory for the whole job.

A row may name its own model, and a provider may send any finish reason. A metric or a line of the
report for each of them would grow without bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

# All names beyond these count as this one.
OTHER = "other"
MOST_LABELS = 100
_LONGEST = 256


class Labels:
    """The first `MOST_LABELS` names of a process; usable from any thread."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, name: object) -> str:
        """Return `name` as a label; OTHER for a name that is new when there are enough."""
        label = str(name)
        if label in self._known:
            return label
        if len(self._known) >= MOST_LABELS or len(label) > _LONGEST:
            return OTHER
        self._known.add(label)
        return label


def add_bounded(counts: Counter[str], more: Mapping[str, int]) -> None:
    """Add `more` to `counts`, which gets at most `MOST_LABELS` names and OTHER."""
    for name, count in more.items():
        if name not in counts and (len(counts) >= MOST_LABELS or len(name) > _LONGEST):
            name = OTHER
        counts[name] += count
