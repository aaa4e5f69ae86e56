"""Runs of refusals during a trial: the window shrinks, and in an outage all requests pause. Pure.

The problem: if the provider accepts nothing, each request only produces another refusal. But one
run of refusals may also come from requests that were sent together.

The idea: a run makes the window shrink towards the requests that are still in flight. A long run
is an outage if none is in flight, or if the provider demands a wait: then all requests pause.

Invariants: pauses double until a request is accepted. Without a `Retry-After` none exceeds
`_LONGEST_PAUSE`.
"""

from __future__ import annotations

from ritellm.rate_limits.sample import FEW

# A run of this many refusals means that the provider accepts nothing at the moment.
RUN = 8
# Other refusals make a window fall by this factor.
CUT = 0.7
# Seconds of the first pause, doubled each time, and of the longest.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Outage:
    """Recognises an outage, and counts its pauses."""

    __slots__ = ("_cut_at", "pauses")

    def __init__(self, now: float) -> None:
        self.pauses = 0  # since the last acceptance
        self._cut_at = now

    def is_on(self, run: int, in_flight: int, retry_after: float | None) -> bool:
        """Return whether `run` refusals in a row call for a pause.

        The first pause also requires a `Retry-After`, or that no other request is in flight.
        """
        if in_flight and retry_after is None and not self.pauses:
            return False
        return run >= RUN

    def pause(self, retry_after: float | None) -> float:
        """Count a pause and return its seconds; `retry_after` overrides them."""
        seconds = min(_LONGEST_PAUSE, _PAUSE * 2.0**self.pauses)
        self.pauses += 1
        return seconds if retry_after is None else retry_after

    def shrunk(
        self, size: float, run: int, in_flight: int, full: bool, patience: float, now: float
    ) -> float:
        """Return the size after `run` refusals: the number in flight if the window was full.

        Otherwise one less, or once per `patience` a larger step after a long run.
        """
        least = float(in_flight) if run >= RUN else max(float(in_flight), float(FEW))
        if not full:
            least = max(least, size - 1)
            if run >= RUN and now >= self._cut_at:
                least = max(float(in_flight), size * CUT)
                self._cut_at = now + patience
        return min(size, least)
