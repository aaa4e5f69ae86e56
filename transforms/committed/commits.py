"""How often outcomes are committed. Pure."""

from __future__ import annotations

from typing import NamedTuple

SHARDS = 16
DRAIN_SECONDS = 600.0
LEAST_SECONDS, MOST_SECONDS = 0.02, 60.0


class Commits(NamedTuple):
    """How often outcomes are committed, in how many shards, and how long a drain waits."""

    every: float
    shards: int
    drain_seconds: float

    @classmethod
    def checked(cls, every: float | None, shards: int, drain_seconds: float) -> Commits | None:
        """Return the settings, None for `every` None or 0; raises ValueError for other values."""
        if not every:
            return None
        least, most = LEAST_SECONDS, MOST_SECONDS
        if not least <= every <= most:
            raise ValueError(f"commit_every must be {least} to {most:g} seconds, got {every}")
        if shards < 1:
            raise ValueError(f"shards must be at least 1, got {shards}")
        if drain_seconds < 0:
            raise ValueError(f"drain_seconds must not be negative, got {drain_seconds}")
        return cls(every, shards, drain_seconds)
