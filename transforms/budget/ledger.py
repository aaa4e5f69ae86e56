"""What a job may spend: reserved before a request is sent, settled once the answer is counted.

A request that does not fit waits while others are under way: most cost less than was reserved for
them. It is refused when nothing is left that could make room. What is under way is never cut off.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.prices import AS_OF, PRICES, Price, cost, reserve
from ritellm.prices.cost import tier_in
from ritellm.token_estimate import USUAL_COMPLETION
from transforms.budget.accounts import Accounts, Caps, LocalAccounts, Reservation
from transforms.journal.base import NOTHING, Journal, Spent

_LOOK_AGAIN = 1.0
_Answer = TypeVar("_Answer")


class BudgetExceeded(RitellmError):
    """The job has spent what it may; the same command goes on with a higher cap."""

    retryable = True


class Ledger:
    """The budget of one process; its methods may be called from any thread.

    Under a cap on dollars a model without a price raises InvalidRequestError: `check` the job's
    before it starts.
    """

    def __init__(
        self, caps: Caps, accounts: Accounts | None = None, prices: Mapping[str, Price] = PRICES
    ) -> None:
        self._caps = caps
        self._accounts = accounts or LocalAccounts()
        self._prices = prices
        self.waiting: set[Callable[[], Any]] = set()  # wake a request each, which has no room yet

    def check(self, model: str) -> None:
        """Raise InvalidRequestError if there is a cap that `model` cannot be kept to."""
        self._estimate(model, 1, 1)

    def reserve(
        self,
        model: str,
        prompt_tokens: int,
        max_tokens: int | None,
        service_tier: str | None = None,
    ) -> Reservation | None:
        """Return room for a request in the tier it asks for, or None if there is none now."""
        held = self._estimate(model, prompt_tokens, max_tokens, service_tier)
        reservation = Reservation(model, held)
        return reservation if self._accounts.hold(reservation, self._caps) else None

    async def admit(
        self,
        model: str,
        prompt_tokens: int,
        max_tokens: int | None,
        service_tier: str | None = None,
    ) -> Reservation:
        """Return room for a request as soon as there is; raises BudgetExceeded if none will be."""
        most = self._estimate(model, prompt_tokens, max_tokens, service_tier)
        reservation = Reservation(model, most)
        room, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(room.set)

        self.waiting.add(wake)
        try:
            while not (held := await self._off_loop(self._accounts.hold, reservation, self._caps)):
                if held is False:
                    raise self._refusal(reservation)
                await _set_within(room, _LOOK_AGAIN)
                room.clear()
        finally:
            self.waiting.discard(wake)
        return reservation

    def settle(
        self,
        reservation: Reservation,
        usage: Mapping[str, Any] | None,
        service_tier: str | None = None,
    ) -> Spent:
        """Return what the response cost, for the journal, and make room of what it did not.

        What was not counted costs what was reserved for it.
        """
        return self.charge(reservation, self.cost_of(reservation, usage, service_tier))

    def charge(self, reservation: Reservation, spent: Spent) -> Spent:
        """Return `spent`, once it stands in the place of what was reserved."""
        self._accounts.settle(reservation, spent)
        self._wake()
        return spent

    async def charged(self, reservation: Reservation, spent: Spent) -> Spent:
        """Do what `charge` does, off the event loop where that takes a server."""
        return await self._off_loop(self.charge, reservation, spent)

    def release(self, reservation: Reservation) -> None:
        """Make room again for a request that was not billed."""
        self.charge(reservation, NOTHING)

    def spent(self) -> Spent:
        """Return what was spent so far, by earlier runs too."""
        return self._accounts.spent()

    def _refusal(self, reservation: Reservation) -> BudgetExceeded:
        return BudgetExceeded(
            f"not sent: the job may spend {self._caps}, {self.spent()} is spent, and this request"
            f" may take {reservation.held} (max_tokens limits that)"
        )

    def cost_of(
        self,
        reservation: Reservation,
        usage: Mapping[str, Any] | None,
        service_tier: str | None = None,
    ) -> Spent:
        """Return what `usage` costs in the tier that the response names.

        What was not counted costs what was reserved. A tier without a known price costs as the
        dearest that is known does, and no less than was reserved.
        """
        held = reservation.held
        if usage is None:
            return held
        counted = (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)
        usd = cost(reservation.model, usage, self._prices, service_tier)
        if usd is None:
            tier = tier_in(usage, service_tier)
            usd = max(held.usd, reserve(reservation.model, usage, self._prices, tier) or 0.0)
        return Spent(usage.get("total_tokens") or counted or held.tokens, usd)

    def _estimate(
        self,
        model: str,
        prompt_tokens: int,
        max_tokens: int | None,
        service_tier: str | None = None,
    ) -> Spent:
        answer = USUAL_COMPLETION if max_tokens is None else max_tokens
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": answer}
        usd = reserve(model, usage, self._prices, service_tier)
        if usd is None and self._caps.usd is not None:
            raise InvalidRequestError(
                f"a cap in USD needs the price of {model!r}, which our table of {AS_OF} does not"
                " have: give it in a file of prices (--prices), or cap the tokens"
                " (--max_total_tokens)"
            )
        return Spent(prompt_tokens + answer, usd or 0.0)

    async def _off_loop(self, call: Callable[..., _Answer], *args: Any) -> _Answer:
        if self._accounts.is_remote:
            return await asyncio.to_thread(call, *args)
        return call(*args)

    def _wake(self) -> None:
        for wake in tuple(self.waiting):
            wake()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return


_opened: weakref.WeakValueDictionary[NewLedger, Ledger] = weakref.WeakValueDictionary()
_opening = threading.Lock()


@dataclass(frozen=True)
class NewLedger:
    """Makes the ledger of a process; all calls in one process get the same.

    `redis` is the address of the server that keeps the sums for all workers, `name` tells the jobs
    on it apart; without it each process has the whole budget for itself. `prices` travel along.
    """

    caps: Caps
    redis: str | None = field(default=None, repr=False)
    name: str = ""
    prices: Mapping[str, Price] = field(default_factory=lambda: dict(PRICES), compare=False)

    def __call__(self, journal: Journal | None) -> Ledger:
        """Return this process's ledger; it begins with what the journal says was spent."""
        with _opening:
            ledger = _opened.get(self)
            if ledger is None:
                ledger = Ledger(self.caps, self._accounts(journal), self.prices)
                _opened[self] = ledger
            return ledger

    def check(self, model: str) -> None:
        """Raise InvalidRequestError if there is a cap that `model` cannot be kept to."""
        Ledger(self.caps, prices=self.prices).check(model)

    def _accounts(self, journal: Journal | None) -> Accounts:
        if self.redis is None:
            return LocalAccounts(NOTHING if journal is None else journal.spent())
        from transforms.budget.redis import RedisAccounts

        accounts = RedisAccounts(self.redis, self.name)
        if journal is not None:
            accounts.raise_to(journal.spent())  # runs without a budget have spent, too
        return accounts
