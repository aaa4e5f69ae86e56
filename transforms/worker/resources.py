"""What the requests of a transform share: client, gate, journal, budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ritellm.rate_limits.stopwatch import Stopwatch
from transforms.budget.bill import Budget, NoBudget
from transforms.worker.capacity.hedging import Hedge, NoHedge
from transforms.worker.capacity.room import Room
from transforms.worker.recorded.entries import JournalEntries, NoJournal
from transforms.worker.recorded.single_flight import SingleFlight
from transforms.worker.requests import Drafts

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
