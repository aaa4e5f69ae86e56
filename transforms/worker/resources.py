"""What the requests of a transform share: client, gate, journal, budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ritellm.rate_limits.stopwatch import Stopwatch
from transforms.budget.bill import Budget, NoBudget
from transforms.worker.hedging import Hedge, NoHedge
from transforms.worker.journal_entries import JournalEntries, NoJournal
from transforms.worker.requests import Drafts
from transforms.worker.room import Room
from transforms.worker.single_flight import SingleFlight

if TYPE_CHECKING:
    from ritellm import AsyncClient
    from ritellm.rate_limits.gate import Gate


@dataclass(frozen=True, eq=False)
class Resources:
    """What the requests of a transform share; null objects replace the parts that a job lacks.

    `throttled` counts the time in which a provider holds any request of the process back.
    """

    client: AsyncClient
    room: Room
    gate: Gate
    hedge: Hedge | NoHedge = field(default_factory=NoHedge)
    journal: JournalEntries | NoJournal = field(default_factory=NoJournal)
    budget: Budget | NoBudget = field(default_factory=NoBudget)
    single_flight: SingleFlight = field(default_factory=SingleFlight)
    drafts: Drafts = field(default_factory=Drafts)
    throttled: Stopwatch = field(default_factory=Stopwatch)
