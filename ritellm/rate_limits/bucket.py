"""A token bucket for the caller's own limits on requests and tokens per minute. Pure.

The level is at most the capacity. It is negative after a request that took more than was left. The
next request then waits longer, so the limit holds on average.
"""

from __future__ import annotations


class Bucket:
    """A bucket that refills at `per_minute` and holds a tenth of that; None means no limit."""

    __slots__ = ("_full", "_level", "_per_second", "_since")

    def __init__(self, per_minute: float | None, now: float) -> None:
        self._per_second = per_minute / 60 if per_minute else 0.0
        self._full = max(1.0, (per_minute or 0.0) / 10)
        self._level = self._full
        self._since = now

    def ready(self, amount: float, now: float) -> float:
        """Return when `amount` may be taken; an amount above the capacity needs a full bucket."""
        if not self._per_second:
            return now
        self._fill(now)
        missing = min(amount, self._full) - self._level
        return now + max(0.0, missing) / self._per_second

    def take(self, amount: float, now: float) -> None:
        """Take `amount`; the level may become negative."""
        if self._per_second:
            self._fill(now)
            self._level = min(self._full, self._level - amount)

    def _fill(self, now: float) -> None:
        self._level = min(self._full, self._level + (now - self._since) * self._per_second)
        self._since = now
