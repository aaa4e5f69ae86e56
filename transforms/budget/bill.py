"""The budget of one prompt: reserved before its request is sent, settled when that has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ritellm.errors import RitellmError
from ritellm.token_estimate import estimate_request
from transforms.budget.accounts import Reservation
from transforms.budget.ledger import Ledger
from transforms.budget.service_tier import tier_requested
from transforms.budget.waste import Waste, larger
from transforms.journal.base import NOTHING, Journal, Spent


class Bill:
    """The reservation of one prompt until its cost is known, waste included."""

    def __init__(self, ledger: Ledger, reservation: Reservation, waste: Waste) -> None:
        self._ledger = ledger
        self._waste = waste
        self._reservation = reservation
        self._open = True

    async def settled(
        self, usage: Mapping[str, Any] | None, service_tier: str | None = None
    ) -> Spent:
        """Return the cost of `usage` and the waste; without a usage, the reservation counts."""
        spent = self._ledger.cost_of(self._reservation, usage, service_tier)
        return await self._charged(spent + self._waste.spent)

    async def failed(self, error: BaseException) -> Spent:
        """Return the cost of a failed prompt: its waste, and its response unless it was refused."""
        if not self._open:
            return NOTHING  # the response was complete; the failure came later
        partial: Mapping[str, Any] | None = error.partial if isinstance(error, RitellmError) else {}
        if partial is None:  # the provider refused the request: no response was billed
            return await self._charged(self._waste.spent)
        if partial and partial.get("usage") is None:  # part of a response, of unknown length
            held = self._reservation.held
            return await self._charged(larger(held, self._waste.spent))
        return await self.settled(partial.get("usage"), partial.get("service_tier"))

    async def _charged(self, spent: Spent) -> Spent:
        self._open = False
        return await self._ledger.charged(self._reservation, spent)


@asynccontextmanager
async def budgeted(
    ledger: Ledger, journal: Journal | None, model: str, request: Mapping[str, Any], waste: Waste
) -> AsyncIterator[Bill]:
    """Reserve room for `request` while it is in flight; raises BudgetExceeded without room.

    The journal records the cost of a failed request for the next run.
    """
    room = ledger.admit(model, *estimate_request(request), tier_requested(request))
    bill = Bill(ledger, await room, waste)
    try:
        yield bill
    except BaseException as error:
        spent = await bill.failed(error)
        if journal is not None and spent != NOTHING:
            journal.spend(spent)
        raise


class Budget:
    """The budget of a process; `journal` remembers what failed prompts have cost."""

    def __init__(self, ledger: Ledger, journal: Journal | None) -> None:
        self.ledger = ledger
        self._journal = journal

    def reserve(
        self, priced: Callable[[], tuple[str, Mapping[str, Any]]], waste: Waste
    ) -> AbstractAsyncContextManager[Bill]:
        """Return a context that reserves room for the model and parameters that `priced` returns.

        Raises InvalidRequestError for a request without a price, BudgetExceeded without room.
        """
        return budgeted(self.ledger, self._journal, *priced(), waste)


class NoBudget:
    """Stands for the budget of a job without caps: reserves nothing, for every prompt."""

    def reserve(self, priced: Callable[[], tuple[str, Mapping[str, Any]]], waste: Waste) -> NoBill:
        """Return a bill that costs nothing to hold."""
        return _NO_BILL


class NoBill:
    """Stands for a bill; one serves all prompts."""

    async def __aenter__(self) -> NoBill:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def settled(
        self, usage: Mapping[str, Any] | None, service_tier: str | None = None
    ) -> None:
        """Return None: no ledger has counted."""


_NO_BILL = NoBill()
