"""Makes a worker's client and its other resources, from names and never from keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ritellm.rate_limits.pace import Limits
from transforms.budget.bill import Budget, NoBudget
from transforms.budget.ledger import NewLedger
from transforms.journal import NewJournal
from transforms.worker.credentials import key_in, key_in_file, key_in_secret
from transforms.worker.hedging import Hedge, NoHedge
from transforms.worker.journal_entries import JournalEntries, NoJournal
from transforms.worker.open_files import in_flight_within_limit
from transforms.worker.resources import Resources
from transforms.worker.room import Room

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
        from ritellm import AsyncClient
        from transforms.worker.renewing_client import Key, RenewingClient

        defaults: dict[str, Any] = {"base_url": self.base_url}
        for name, read in (
            (self.api_key_env, key_in),
            (self.api_key_secret, key_in_secret),
            (self.api_key_file, key_in_file),
        ):
            if name is not None:
                return RenewingClient(Key(partial(read, name)), name, **defaults)
        return AsyncClient(**defaults)


@dataclass(frozen=True)
class NewResources:
    """Makes the resources of a process, on its event loop, including a client behind a gate."""

    new_client: Callable[[], AsyncClient]
    limits: Limits
    hedge_after: float | str | None = None
    new_journal: NewJournal | None = None
    new_ledger: NewLedger | None = None

    def __call__(self) -> Resources:
        """Return new resources."""
        from ritellm.rate_limits.gate import Gate

        client = self.new_client()
        journal = self.new_journal() if self.new_journal is not None else None
        # Counted last, with the files of the client and the journal.
        places = in_flight_within_limit(self.limits.max_in_flight)
        gate = client.gate = Gate(replace(self.limits, max_in_flight=places))
        return Resources(
            client,
            Room(places),
            gate,
            NoHedge() if self.hedge_after is None else Hedge(self.hedge_after),
            NoJournal() if journal is None else JournalEntries(journal),
            NoBudget() if self.new_ledger is None else Budget(self.new_ledger(journal), journal),
        )
