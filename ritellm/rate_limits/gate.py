"""The queues of one event loop, and their totals: requests wait here until `Pace` admits them.

An AsyncClient with a `gate` sends every attempt through it, retries included. Several callers with
limits of their own share a gate by `Gate.share`: what was learned about a provider holds for all of
them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from hashlib import blake2b

from ritellm.endpoints import Endpoint
from ritellm.rate_limits.pace import REASONS, Brake, Limits, Reason
from ritellm.rate_limits.queue import Admission, Queue
from ritellm.rate_limits.quota import Quota, Quotas
from ritellm.rate_limits.stopwatch import Stopwatch
from ritellm.types import Request

# Each queue takes some kilobytes for good, and the rows of a job may name any number of models.
_MOST_QUEUES = 256
_OTHERS = "other models"
_SALT = secrets.token_bytes(16)


def digest(key: str | None) -> str:
    """Return a name for `key` in this process, from which the key cannot be found."""
    return blake2b((key or "").encode(), digest_size=16, key=_SALT).hexdigest()


class Gate:
    """The queues of one event loop, one per (address, key, model).

    Beyond `_MOST_QUEUES`, further models of an address and a key share a queue. `limits` are those
    of callers without a `share`; `rpm` and `tpm` hold for all models of an address and a key.
    `held` counts the waits of several gates.
    """

    def __init__(self, limits: Limits, held: Stopwatch | None = None) -> None:
        self.limits = limits
        self._queues: dict[tuple[str, str, str], Queue] = {}
        self._quotas: dict[tuple[str, str], Quotas] = {}
        self._held = Stopwatch(held)
        self._now: Callable[[], float] = time.monotonic  # until a queue has the loop's

    def queue(self, endpoint: Endpoint, model: str, limits: Limits | None = None) -> Queue:
        """Return where requests to `model` at `endpoint` wait, of a caller with `limits`."""
        of = endpoint.base_url, digest(endpoint.key)
        key = (*of, model)
        if key not in self._queues and len(self._queues) >= _MOST_QUEUES:
            model = _OTHERS
            key = (*of, model)
        limits = limits or self.limits
        queue = self._queues.get(key)
        if queue is None:
            self._now = asyncio.get_running_loop().time
            quota, provider = self.quota(endpoint, self.limits), endpoint.provider.name
            queue = self._queues[key] = Queue(limits, provider, model, quota, self._held)
        queue.pace.allow(limits)
        return queue

    def quota(self, endpoint: Endpoint, limits: Limits) -> Quota:
        """Return the quota of callers with `limits`, for all models at `endpoint`."""
        of = endpoint.base_url, digest(endpoint.key)
        return self._quotas.setdefault(of, Quotas()).of(limits.rpm, limits.tpm, self._now())

    def share(self, limits: Limits) -> Share:
        """Return this gate for a caller with `limits` of its own."""
        return Share(self, limits)

    def hold_back(self, since: float, now: float) -> None:
        """Note that a request has waited elsewhere before it came here."""
        self._held.add(since, now)

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
        """Seconds in which any request has waited for the provider, here or before.

        At most the time that has passed. This includes neither the caller's own `Limits` nor the
        rest of a single refused request.
        """
        return self._held.seconds(self._now())

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return sum(queue.pace.in_flight for queue in self._all())

    @property
    def calm(self) -> bool:
        """Whether no request waits here, and no provider shows a sign of overload."""
        return all(q.pace.calm(q.now()) and not q.has_line for q in self._all())

    @property
    def allowed(self) -> int:
        """The number of requests that may be in flight now."""
        queues = self._all()
        return sum(q.pace.allowed for q in queues) if queues else self.limits.max_in_flight

    def _all(self) -> list[Queue]:
        """Return a copy of the queues: other threads read them, too."""
        return list(self._queues.values())


class Share:
    """A gate, for a caller with `limits` of its own; see `ritellm.rate_limits.quota`.

    The largest `max_in_flight` and `give_up_after` of all callers hold for what the gate learns.
    """

    def __init__(self, gate: Gate, limits: Limits) -> None:
        self.gate = gate
        self.limits = limits
        # Nearly all requests of a caller go to one model at one endpoint.
        self._last: tuple[Endpoint, str, Entrance] | None = None

    def queue(self, endpoint: Endpoint, model: str) -> Entrance:
        """Return where requests to `model` at `endpoint` wait."""
        last = self._last
        if last is not None and last[0] is endpoint and last[1] == model:
            return last[2]
        queue = self.gate.queue(endpoint, model, self.limits)
        entrance = Entrance(queue, self.gate.quota(endpoint, self.limits))
        self._last = endpoint, model, entrance
        return entrance

    def has_reached(self, base_url: str) -> bool:
        """Return whether a server at `base_url` has ever responded."""
        return self.gate.has_reached(base_url)


class Entrance:
    """A queue, for a caller with a quota of its own."""

    __slots__ = ("_queue", "_quota")

    def __init__(self, queue: Queue, quota: Quota) -> None:
        self._queue, self._quota = queue, quota

    async def enter(self, request: Request, again: bool = False) -> Admission:
        """Wait until `request` may be sent; see `Queue.enter`."""
        return await self._queue.enter(request, again, self._quota)
