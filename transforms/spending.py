"""One prompt and the budget: room is held before it is asked, and settled however that ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ritellm.errors import RitellmError
from transforms.estimating import estimate
from transforms.journal.base import NOTHING, Journal, Spent
from transforms.ledger import Ledger, Reservation


class Bill:
    """What is held for one prompt until it is known what it has cost."""

    def __init__(self, ledger: Ledger, reservation: Reservation) -> None:
        self._ledger = ledger
        self._reservation = reservation
        self._open = True

    async def settled(self, usage: Mapping[str, Any] | None) -> Spent:
        """Return what `usage` costs; None, for what nobody counted, costs what was held."""
        self._open = False
        return await self._ledger.settled(self._reservation, usage)

    async def failed(self, error: BaseException) -> Spent:
        """Return what a prompt has cost that was not answered: nothing if it was refused."""
        if not self._open:
            return NOTHING  # the answer was whole; what failed came later
        partial: Mapping[str, Any] | None = error.partial if isinstance(error, RitellmError) else {}
        if partial is None:
            self._open = False
            await self._ledger.released(self._reservation)
            return NOTHING
        return await self.settled(partial.get("usage"))


@asynccontextmanager
async def budgeted(
    ledger: Ledger, journal: Journal | None, model: str, request: Mapping[str, Any]
) -> AsyncIterator[Bill]:
    """Hold room for `request` as long as it is asked; raises BudgetExceeded if there is none.

    What an answer that broke off has cost, the journal remembers for the next run.
    """
    bill = Bill(ledger, await ledger.admit(model, *estimate(request)))
    try:
        yield bill
    except BaseException as error:
        spent = await bill.failed(error)
        if journal is not None and spent != NOTHING:
            journal.spend(spent)
        raise
