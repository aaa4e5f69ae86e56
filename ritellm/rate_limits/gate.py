"""The queues of one event loop, and their totals: requests wait here until `Pace` admits them.

An AsyncClient with a `gate` sends every attempt through it, retries included.
"""

from __future__ import annotations

from ritellm.endpoints import Endpoint
from ritellm.rate_limits.pace import REASONS, Brake, Limits, Reason
from ritellm.rate_limits.queue import Queue

# Each queue takes some kilobytes for good, and the rows of a job may name any number of models.
_MOST_QUEUES = 256
_OTHERS = "other models"


class Gate:
    """The queues of one event loop, one per (address, key, model).

    Beyond `_MOST_QUEUES`, further models of an address and a key share a queue.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held_back = 0.0  # seconds that requests have waited elsewhere before they came here
        self._queues: dict[tuple[str, str | None, str], Queue] = {}

    def queue(self, endpoint: Endpoint, model: str) -> Queue:
        """Return where requests to `model` at `endpoint` wait."""
        key = (endpoint.base_url, endpoint.key, model)
        if key not in self._queues and len(self._queues) >= _MOST_QUEUES:
            model = _OTHERS
            key = (endpoint.base_url, endpoint.key, model)
        if key not in self._queues:
            self._queues[key] = Queue(self.limits, endpoint.provider.name, model)
        return self._queues[key]

    def has_reached(self, base_url: str) -> bool:
        """Return whether a server at `base_url` has ever responded."""
        return any(q.reached for (address, *_), q in self._queues.items() if address == base_url)

    @property
    def throttled(self) -> int:
        """The number of requests that a provider refused because of its load."""
        return sum(queue.pace.refusals for queue in self._all())

    @property
    def sent(self) -> int:
        """The number of requests that were sent."""
        return sum(queue.pace.sent for queue in self._all())

    @property
    def refused_by(self) -> dict[Reason, int]:
        """The number of refused requests, by what limited the job at the time."""
        return {r: sum(queue.pace.refused_by[r] for queue in self._all()) for r in REASONS}

    @property
    def held_for(self) -> dict[Reason, float]:
        """The seconds that requests have waited for each reason, summed over the queues."""
        return {r: sum(queue.held_for[r] for queue in self._all()) for r in REASONS}

    @property
    def brakes(self) -> list[Brake]:
        """What limits the job at the moment; empty if nothing does."""
        found = (queue.brake() for queue in self._all())
        return [brake for brake in found if brake is not None]

    @property
    def waited(self) -> float:
        """Seconds that requests have waited for the provider, here or before, summed over requests.

        This includes neither the caller's own `Limits` nor the rest of a single refused request.
        """
        return self.held_back + sum(queue.waited for queue in self._all())

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return sum(queue.pace.in_flight for queue in self._queues.values())

    @property
    def calm(self) -> bool:
        """Whether no request waits here, and no provider shows a sign of overload."""
        queues = self._queues.values()
        return all(queue.pace.calm(queue.now()) and not queue.has_line for queue in queues)

    @property
    def allowed(self) -> int:
        """The number of requests that may be in flight now."""
        if not self._queues:
            return self.limits.max_in_flight
        return sum(queue.pace.allowed for queue in self._queues.values())

    def _all(self) -> list[Queue]:
        """Return a copy of the queues: other threads read them, too."""
        return list(self._queues.values())
