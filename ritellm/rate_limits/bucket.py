"""So many a minute: the caller's own limits on requests and tokens. Pure."""

from __future__ import annotations


class Bucket:
    """A token bucket of `per_minute`, a tenth of which may be taken at once; None has no limit."""

    __slots__ = ("_full", "_level", "_per_second", "_since")

    def __init__(self, per_minute: float | None, now: float) -> None:
        self._per_second = per_minute / 60 if per_minute else 0.0
        self._full = max(1.0, (per_minute or 0.0) / 10)
        self._level = self._full
        self._since = now

    def ready(self, amount: float, now: float) -> float:
        """Return when `amount` may be taken; more than the bucket holds waits for a full one."""
        if not self._per_second:
            return now
        self._fill(now)
        missing = min(amount, self._full) - self._level
        return now + max(0.0, missing) / self._per_second

    def take(self, amount: float, now: float) -> None:
        """Take `amount`; what is not there yet is owed."""
        if self._per_second:
            self._fill(now)
            self._level = min(self._full, self._level - amount)

    def _fill(self, now: float) -> None:
        self._level = min(self._full, self._level + (now - self._since) * self._per_second)
        self._since = now
