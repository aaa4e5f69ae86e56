"""What all requests of a process share: client, gate, journal and ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transforms.worker.hedging import Hedge
from transforms.worker.requests import Drafts
from transforms.worker.room import Room
from transforms.worker.single_flight import Sharing

if TYPE_CHECKING:
    from ritellm import AsyncClient
    from ritellm.rate_limits.gate import Gate
    from transforms.budget.ledger import Ledger
    from transforms.journal import Journal


@dataclass(frozen=True, slots=True)
class Means:
    """What a process asks with: shared by all that it asks."""

    client: AsyncClient
    room: Room
    gate: Gate | None = None
    hedge: Hedge | None = None
    journal: Journal | None = None
    ledger: Ledger | None = None
    sharing: Sharing = field(default_factory=Sharing)
    drafts: Drafts = field(default_factory=Drafts)
