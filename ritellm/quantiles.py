"""Approximate quantiles of many numbers in little memory, which can be merged. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


class Quantiles:
    """Quantiles of positive numbers, within 1 % of the true value.

    The numbers are counted in buckets whose bounds grow geometrically, as in DDSketch (Masson, Rim
    and Lee, VLDB 2019). Buckets are never collapsed: 1e-6 to 1e6 takes at most 1,400.
    """

    __slots__ = ("_counts", "count")

    _GROWTH = math.log(1.01 / 0.99)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: dict[int, int] = dict(counts or {})
        self.count = sum(self._counts.values())

    def add(self, value: float) -> None:
        """Count `value`; a value below 1e-6 counts as 1e-6."""
        bucket = math.ceil(math.log(max(value, 1e-6)) / self._GROWTH)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1

    def merge(self, others: Iterable[Quantiles]) -> None:
        """Add the counts of `others`."""
        for other in others:
            for bucket, count in other._counts.items():
                self._counts[bucket] = self._counts.get(bucket, 0) + count
            self.count += other.count

    def at(self, share: float) -> float | None:
        """Return the quantile `share` (0 to 1); None without values."""
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank <= 0:
                return 2 * math.exp(bucket * self._GROWTH) / (math.exp(self._GROWTH) + 1)
        return None
