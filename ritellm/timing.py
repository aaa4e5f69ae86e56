"""A stopwatch for one streamed completion. Pure: times are passed in."""

from __future__ import annotations

import math
from array import array
from typing import Any


class Timing:
    """When the chunks of one completion arrived, in seconds of one monotonic clock.

    `ttft` runs from the start of the call to the first chunk with content (text, reasoning, refusal
    or a tool call), retries included.
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
        self.bytes = 0  # of all response bodies, retries included
        self.retries = 0
        self.connection_reused: bool | None = None  # of the newest attempt; None: unknown
        self._gaps = array("d")

    def chunks(self, now: float) -> None:
        """Record that chunks arrived at `now`."""
        if self.last_chunk is None:
            self.first_chunk = now
        else:
            self._gaps.append(now - self.last_chunk)
        self.last_chunk = now

    def restart(self) -> None:
        """Record that a new attempt begins: the pause before it does not count as a gap."""
        self.last_chunk = None

    @property
    def ttft(self) -> float | None:
        """Seconds to the first chunk with content."""
        return None if self.first_content is None else self.first_content - self.started

    @property
    def total(self) -> float | None:
        """Seconds to the end; None before it."""
        return None if self.ended is None else self.ended - self.started

    @property
    def inter_chunk(self) -> dict[str, float | None]:
        """p50, p95 and p99 of the gaps between arrivals, in seconds."""
        gaps = sorted(self._gaps)
        return {f"p{p}": _nearest_rank(gaps, p / 100) for p in (50, 95, 99)}

    def as_dict(self) -> dict[str, Any]:
        """Return ttft, inter_chunk and total as JSON values."""
        return {"ttft": self.ttft, "inter_chunk": self.inter_chunk, "total": self.total}


def _nearest_rank(ordered: list[float], share: float) -> float | None:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
