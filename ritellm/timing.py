"""A stopwatch for one streamed completion, and quantiles that add up. Times are handed in."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any


class Timing:
    """When the chunks of one completion came, in seconds of one monotonic clock.

    `ttft` counts from the moment the caller asked to the first chunk with content (text,
    reasoning, refusal or a tool call), retries included.
    """

    __slots__ = (
        "_gaps",
        "bytes",
        "connection_reused",
        "ended",
        "first_chunk",
        "first_content",
        "last_chunk",
        "retries",
        "started",
    )

    def __init__(self, started: float) -> None:
        self.started = started
        self.first_chunk: float | None = None
        self.first_content: float | None = None
        self.last_chunk: float | None = None
        self.ended: float | None = None
        self.bytes = 0  # of all bodies, retries included
        self.retries = 0
        self.connection_reused: bool | None = None  # of the newest attempt; None: unknown
        self._gaps = array("d")

    def chunks(self, now: float) -> None:
        """Note that chunks came at `now`."""
        if self.last_chunk is None:
            self.first_chunk = now
        else:
            self._gaps.append(now - self.last_chunk)
        self.last_chunk = now

    def restart(self) -> None:
        """Note that a new attempt begins: the pause is no gap between chunks."""
        self.last_chunk = None

    @property
    def ttft(self) -> float | None:
        """Seconds to the first chunk with content."""
        return None if self.first_content is None else self.first_content - self.started

    @property
    def total(self) -> float | None:
        """Seconds to the end, or None while there is none."""
        return None if self.ended is None else self.ended - self.started

    @property
    def inter_chunk(self) -> dict[str, float | None]:
        """p50, p95 and p99 of the gaps between arrivals, in seconds."""
        gaps = sorted(self._gaps)
        return {f"p{p}": _nearest_rank(gaps, p / 100) for p in (50, 95, 99)}

    def as_dict(self) -> dict[str, Any]:
        """Return ttft, inter_chunk and total as JSON would have them."""
        return {"ttft": self.ttft, "inter_chunk": self.inter_chunk, "total": self.total}


def _nearest_rank(ordered: list[float], share: float) -> float | None:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


class Quantiles:
    """Quantiles of positive numbers, within 1 % of each value, that can be merged.

    Counts in buckets whose bounds grow geometrically: the DDSketch of Masson, Rim and Lee
    (VLDB 2019), without its collapsing: a range of 1e-6 to 1e6 is 1,400 buckets at most.
    """

    __slots__ = ("_counts", "count")

    _GROWTH = math.log(1.01 / 0.99)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: dict[int, int] = dict(counts or {})
        self.count = sum(self._counts.values())

    def add(self, value: float) -> None:
        """Count `value`; anything below a microsecond counts as one."""
        bucket = math.ceil(math.log(max(value, 1e-6)) / self._GROWTH)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1

    def merge(self, others: Iterable[Quantiles]) -> None:
        """Count all that `others` have counted."""
        for other in others:
            for bucket, count in other._counts.items():
                self._counts[bucket] = self._counts.get(bucket, 0) + count
            self.count += other.count

    def at(self, share: float) -> float | None:
        """Return the value below which `share` (0 to 1) of all values lie, or None of none."""
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank <= 0:
                return 2 * math.exp(bucket * self._GROWTH) / (math.exp(self._GROWTH) + 1)
        return None
