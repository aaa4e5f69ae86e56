"""Makes a worker's client and its other resources, from names and never from keys."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from ritellm.rate_limits.stopwatch import Stopwatch
from transforms.budget.bill import Budget, NoBudget
from transforms.budget.ledger import NewLedger
from transforms.journal import Journal, NewJournal
from transforms.worker.capacity.hedging import Hedge, NoHedge
from transforms.worker.capacity.room import Room
from transforms.worker.client.credentials import key_in, key_in_file, key_in_secret
from transforms.worker.client.open_files import in_flight_within_limit
from transforms.worker.recorded.entries import JournalEntries, NoJournal
from transforms.worker.resources import Resources

if TYPE_CHECKING:
    from ritellm import AsyncClient


@dataclass(frozen=True)
class NewClient:
    """Makes a client on the worker: the key is read there and is never part of the job graph."""

    api_key_env: str | None = None
    base_url: str | None = field(default=None, repr=False)
    api_key_secret: str | None = None
    api_key_file: str | None = None

    def __call__(self) -> AsyncClient:
        """Return a new client; raises AuthenticationError if its key cannot be read here."""
        return self.read_key()()

    def read_key(self) -> Callable[[], AsyncClient]:
        """Return what makes the client, with its key, which may take a while to read.

        Raises AuthenticationError if the key cannot be read here.
        """
        from ritellm import AsyncClient
        from transforms.worker.client.renewing_client import Key, RenewingClient

        defaults: dict[str, Any] = {"base_url": self.base_url}
        if self._name is None:
            return partial(AsyncClient, **defaults)
        return partial(RenewingClient, Key(self._read), self._name, **defaults)

    def renew(self, client: AsyncClient) -> None:
        """Give `client` the key that is here now; raises AuthenticationError if there is none.

        A client outlives its job, and the next job may have another environment. A key in Secret
        Manager is not read again: that costs a request, and a version never changes.
        """
        from transforms.worker.client.renewing_client import RenewingClient

        if isinstance(client, RenewingClient) and self.api_key_secret is None:
            client.replace_key(self._read())

    @property
    def _name(self) -> str | None:
        return self.api_key_env or self.api_key_secret or self.api_key_file

    def _read(self) -> str:
        if self.api_key_env is not None:
            return key_in(self.api_key_env)
        if self.api_key_secret is not None:
            return key_in_secret(self.api_key_secret)
        return key_in_file(self.api_key_file or "")


# A name for each factory of a user: its copies on the workers keep it.
_names: WeakKeyDictionary[Callable[[], Any], str] = WeakKeyDictionary()


def _name_of(factory: Callable[[], Any]) -> str:
    """Return a name for `factory`, the same one each time."""
    try:
        return _names.setdefault(factory, uuid4().hex)
    except TypeError:  # it has no hash, or no weak references
        return uuid4().hex


@dataclass(frozen=True)
class NewResources:
    """Makes the resources of a transform in a process, from names.

    Equal `client_key`s share a client.
    """

    new_client: Callable[[], AsyncClient] = field(compare=False)
    limits: Limits
    hedge_after: float | str | None = None
    new_journal: NewJournal | None = None
    new_ledger: NewLedger | None = None
    client_key: Hashable = field(init=False)

    def __post_init__(self) -> None:
        new = self.new_client
        key: Hashable = new if isinstance(new, NewClient) else _name_of(new)
        object.__setattr__(self, "client_key", key)

    @property
    def is_foreign(self) -> bool:
        """Whether the user's own factory makes the client."""
        return not isinstance(self.new_client, NewClient)

    def read_key(self) -> Callable[[], AsyncClient]:
        """Return what makes the client, on the event loop. May block."""
        return (
            self.new_client.read_key()
            if isinstance(self.new_client, NewClient)
            else self.new_client
        )

    def renew(self, client: AsyncClient) -> None:
        """Give a `client` of an earlier job the key that this process has now."""
        if isinstance(self.new_client, NewClient):
            self.new_client.renew(client)

    def limits_here(self) -> Limits:
        """Return the limits that this process can keep: each request needs an open file."""
        return replace(self.limits, max_in_flight=in_flight_within_limit(self.limits.max_in_flight))

    def make(
        self,
        client: AsyncClient,
        room: Room,
        gate: Gate,
        hedge: Hedge | NoHedge,
        throttled: Stopwatch,
        journal: Journal | None,
        job: str,
    ) -> Resources:
        """Return the resources of a transform of `job`, whose budget counts by job."""
        return Resources(
            client,
            room,
            gate,
            hedge,
            NoJournal() if journal is None else JournalEntries(journal),
            NoBudget()
            if self.new_ledger is None
            else Budget(self.new_ledger(journal, job), journal),
            throttled=throttled,
        )

    def open_journal(self) -> Journal | None:
        """Return the journal of the job in this process, if it has one. May block."""
        return None if self.new_journal is None else self.new_journal()

    def __call__(self) -> Resources:
        """Return resources that no other transform shares. Called on an event loop."""
        client, journal, limits = self.new_client(), self.open_journal(), self.limits_here()
        gate = client.gate = Gate(limits)
        hedge = NoHedge() if self.hedge_after is None else Hedge(self.hedge_after)
        room = Room(limits.max_in_flight)
        return self.make(client, room, gate, hedge, Stopwatch(), journal, "")
