"""A circuit breaker: stops waiting for a provider that refuses every request. Pure.

The problem: a refused request is sent again and again, so without a limit a job never ends if the
provider refuses everything.

The idea: the breaker opens `give_up_after` seconds after the first refusal since an acceptance.
While it is open, requests fail at once. From time to time one request probes the provider.

Invariants: an acceptance closes the breaker. At most one probe is in flight.
"""

from __future__ import annotations

# Seconds between the newest refusal and a probe.
_PROBE_AFTER = 15.0


class Breaker:
    """Whether the provider has refused every request for too long."""

    __slots__ = ("_refused_at", "give_up_after", "refusing_since")

    def __init__(self, give_up_after: float, now: float) -> None:
        self.give_up_after = give_up_after
        self._refused_at = now
        self.refusing_since: float | None = None  # the first refusal after the last acceptance

    def refused(self, now: float) -> None:
        """Record a refusal."""
        self._refused_at = now
        if self.refusing_since is None:
            self.refusing_since = now

    def open_after(self, now: float) -> float | None:
        """Return the seconds without an acceptance if they opened the breaker, else None."""
        if self.refusing_since is None or now - self.refusing_since < self.give_up_after:
            return None
        return now - self.refusing_since

    def opens_in(self, now: float) -> float | None:
        """Return the seconds until the breaker opens; None without a refusal."""
        if self.refusing_since is None:
            return None
        return max(0.0, self.refusing_since + self.give_up_after - now)

    def may_probe(self, in_flight: int, now: float) -> bool:
        """Return whether one request may be sent while the breaker is open."""
        return not in_flight and now - self._refused_at > _PROBE_AFTER
