"""The engine of a process: what all its transforms share, by value and not by transform.

The problem: Beam makes a DoFn for each transform and bundle thread, and ends it after a minute
without work. If each had an event loop, connections and limits of its own, six transforms would
have six times `max_in_flight` requests in flight, and each pause would forget what was learned.

The idea: one engine per process, with one event loop. It keeps what belongs to an endpoint:

    client    connections, one per way to make a client (`NewResources.client_key`)
    endpoint  gate (learned pace, rpm, tpm), places, hedges: one per address and key

What belongs to a job stays with the job: its journal ends with its last DoFn, and its budget is
counted by job (`transforms.budget.ledger`), so two jobs in one process share neither.

What holds:

- Each DoFn has a `Lease`. The engine forgets what no lease has used for `IDLE_SECONDS`, and ends
  when no lease is left for that long. The engine of a setup that fails ends at once.
- A key is known here by a digest, whose salt is this process's own.
- Parsed parameters (`Resources.drafts`) belong to one lease: two transforms may differ in nothing
  but their parameters.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ritellm.rate_limits.gate import Gate, digest
from ritellm.rate_limits.pace import Limits
from ritellm.rate_limits.stopwatch import Stopwatch
from transforms.worker.capacity.hedging import Hedge, NoHedge
from transforms.worker.capacity.room import Places, Room
from transforms.worker.factories import NewResources
from transforms.worker.loop.event_loop import EventLoop
from transforms.worker.requests import Drafts
from transforms.worker.resources import Resources
from transforms.worker.shelf import Shelf

if TYPE_CHECKING:
    from transforms.worker.completer import Completer

# Seconds after which the engine forgets what no DoFn has used, and ends if no DoFn is left. Beam
# ends a DoFn after 60 s without work.
IDLE_SECONDS = 600.0

# Seconds after which the loop tries again what it could not do now.
_SOON = 1.0

Result = TypeVar("Result")
_Taken = list[tuple[Shelf[Any], Hashable]]
_closing: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class _Endpoint:
    """What requests to one address with one key share."""

    gate: Gate
    places: Places = field(default_factory=Places)
    hedges: dict[Hashable, Hedge] = field(default_factory=dict)

    def hedge(self, of: Hashable, after: float | str | None) -> Hedge | NoHedge:
        """Return the hedge of a model and its way to be read."""
        if after is None:
            return NoHedge()
        return self.hedges.setdefault((of, after), Hedge(after))


class _Clients:
    """The clients of a process, as the resources of its event loop."""

    def __init__(self) -> None:
        self.shelf: Shelf[Any] = Shelf()

    @property
    def client(self) -> _Clients:
        return self

    async def close(self) -> None:
        """Close all connections."""
        for client in self.shelf.clear():
            await client.close()


class Engine:
    """The event loop of a process, and what its transforms share on it; see `join`."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.event_loop: EventLoop[_Clients] = EventLoop(_Clients)
        self.throttled = Stopwatch()
        self.leases = 0
        self._returned: deque[_Taken] = deque()
        self._endpoints: Shelf[_Endpoint] = Shelf()
        self._resources: weakref.WeakValueDictionary[Hashable, Resources] = (
            weakref.WeakValueDictionary()
        )

    def lease(self, new: NewResources, completer: Completer, job: str) -> Lease:
        """Return what a DoFn of `job` works with; raises what making it raises."""
        shelf = self.event_loop.resources.shelf
        client = shelf.take(new.client_key, lambda: self._new_client(new))
        taken: _Taken = [(shelf, new.client_key)]
        try:
            new.renew(client)
            name = _endpoint_name(client, new, completer)
            endpoint = self._endpoints.take(name, lambda: _Endpoint(self._new_gate()))
            taken.append((self._endpoints, name))
            resources = self._resources_of(new, completer, job, client, endpoint, name)
        except BaseException:
            self._give_back(taken)
            raise
        return Lease(self, resources, taken)

    def _new_client(self, new: NewResources) -> Any:
        make = new.read_key()  # may block: not on the loop
        return self.event_loop.run(_call(make))

    def _new_gate(self) -> Gate:
        return Gate(Limits(), self.throttled)

    def _resources_of(
        self,
        new: NewResources,
        completer: Completer,
        job: str,
        client: Any,
        endpoint: _Endpoint,
        name: Hashable,
    ) -> Resources:
        """Return the resources that equal transforms of a job share."""
        key = new, completer.model, completer.deltas, job, name
        found = self._resources.get(key)
        if found is None:
            journal = new.open_journal()
            limits = new.limits_here()  # counted last, with the files of client and journal
            front = copy.copy(client)  # the same connections, behind the limits of this transform
            front.gate = endpoint.gate.share(limits)
            hedge = endpoint.hedge((completer.model, completer.deltas), new.hedge_after)
            room = Room(limits.max_in_flight, endpoint.places)
            found = new.make(front, room, endpoint.gate, hedge, self.throttled, journal, job)
            self._resources[key] = found
        return found

    def give_back(self, taken: _Taken) -> None:
        """End a lease. Garbage collection may call this on any thread, so it waits for nothing."""
        self._returned.append(taken)
        loop = self.event_loop.loop
        if not loop.is_closed():
            self.event_loop.inbox.post(loop.call_later, IDLE_SECONDS, self.forget)

    def settle(self) -> None:
        """Count the leases that have ended."""
        while self._returned:
            self._give_back(self._returned.popleft())
            self.leases -= 1

    def _give_back(self, taken: _Taken) -> None:
        for shelf, key in taken:
            shelf.give_back(key, time.monotonic())

    def forget(self, idle: float | None = None) -> None:
        """Forget what no lease has used for `idle` seconds; end without a lease. On the loop."""
        loop = self.event_loop.loop
        if not _joining.acquire(blocking=False):  # its holder may wait for this loop
            loop.call_later(_SOON, self.forget, idle)
            return
        try:
            self.settle()
            before = time.monotonic() - (IDLE_SECONDS if idle is None else idle)
            clients = self.event_loop.resources.shelf
            self._endpoints.forget(before)
            if not self.leases and clients.is_idle(before):
                _forget_engine(self)
                self.event_loop.close()
                return
            for client in clients.forget(before):
                _closing.add(task := loop.create_task(client.close()))
                task.add_done_callback(_closing.discard)
        finally:
            _joining.release()


class Lease:
    """What a DoFn works with: the loop of its process, and the `resources` of its transform.

    `release` ends it, and so does garbage collection.
    """

    def __init__(self, engine: Engine, resources: Resources, taken: _Taken) -> None:
        self.loop = engine.event_loop.loop
        self.inbox = engine.event_loop.inbox
        self.start_queue = engine.event_loop.start_queue
        self._event_loop = engine.event_loop
        self._shared = resources
        self.resources = replace(resources, drafts=Drafts())
        self._give_back = weakref.finalize(self, engine.give_back, taken)
        self._give_back.atexit = False

    def release(self) -> None:
        """End the lease, and with the last lease of a job, its journal."""
        self._give_back()
        del self.resources, self._shared

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run `coroutine` on the loop and return its result."""
        return self._event_loop.run(coroutine)


_joining = threading.Lock()
_engines: list[Engine] = []


def join(new: NewResources, completer: Completer, job: str) -> Lease:
    """Return a lease on the engine of this process, which begins with its first.

    Transforms of one process that ask the same endpoint with the same key share its connections,
    limits and learned pace. Raises what makes the client, the journal or the budget raise.
    """
    with _joining:
        begins = not _engines or _engines[0].pid != os.getpid()
        if begins:
            _engines[:] = [Engine()]
        engine = _engines[0]
        engine.settle()
        try:
            lease = engine.lease(new, completer, job)
        except BaseException:
            if begins:
                _forget_engine(engine)
                engine.event_loop.close()
            raise
        engine.leases += 1
        return lease


def forget_idle() -> None:
    """Forget at once what no DoFn uses, for tests and for programs that want its memory back."""
    for engine in list(_engines):
        engine.event_loop.run(_call(functools.partial(engine.forget, 0.0)))


def _forget_engine(engine: Engine) -> None:
    if engine in _engines:
        _engines.remove(engine)


async def _call(function: Callable[[], Result]) -> Result:
    return function()


def _endpoint_name(client: Any, new: NewResources, completer: Completer) -> Hashable:
    """Return a name for the address and the key that `client` sends the prompts of a job to.

    A key that expires, or cannot be found now, has the name of the way to make the client.
    """
    whose = new.client_key if new.is_foreign else None
    try:
        draft = client.draft(completer.model, stream=True, **completer.params)
        endpoint = draft.blank.endpoint
        if draft.lasts:
            return whose, endpoint.provider.name, endpoint.base_url, digest(endpoint.key)
        return new.client_key, endpoint.provider.name, endpoint.base_url
    except Exception:  # prompts report it, one by one
        return new.client_key, completer.model.partition("/")[0]
