"""How a worker gets its client: from names, never from keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ritellm.rate_limits.pace import Limits
from transforms.budget.ledger import NewLedger
from transforms.journal import NewJournal
from transforms.worker.credentials import key_in, key_in_file, key_in_secret
from transforms.worker.hedging import Hedge
from transforms.worker.resources import Means
from transforms.worker.room import Room

if TYPE_CHECKING:
    from ritellm import AsyncClient


@dataclass(frozen=True)
class NewClient:
    """Makes a client where it is called: the key is read there, and travels in no job graph."""

    api_key_env: str | None = None
    base_url: str | None = None
    api_key_secret: str | None = None
    api_key_file: str | None = None

    def __call__(self) -> AsyncClient:
        """Return a new client; raises AuthenticationError if its key is not to be had here."""
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
class NewMeans:
    """Makes what a process asks with: a client behind a gate, and its hedge. Called on the loop."""

    new_client: Callable[[], AsyncClient]
    limits: Limits
    hedge_after: float | str | None = None
    new_journal: NewJournal | None = None
    new_ledger: NewLedger | None = None

    def __call__(self) -> Means:
        """Return new means."""
        from ritellm.rate_limits.gate import Gate

        client, gate = self.new_client(), Gate(self.limits)
        client.gate = gate
        hedge = Hedge(self.hedge_after) if self.hedge_after is not None else None
        journal = self.new_journal() if self.new_journal is not None else None
        ledger = self.new_ledger(journal) if self.new_ledger is not None else None
        return Means(client, Room(self.limits.max_in_flight), gate, hedge, journal, ledger)
