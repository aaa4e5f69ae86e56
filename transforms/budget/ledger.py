"""The budget of a job: reserved before a request is sent, settled once its tokens are counted.

The problem: the cost of a request is known only at its end, and thousands are in flight. Checking
the sum before each request would exceed a cap by all of these.

The idea: each request reserves the most that it may cost. At its end the reservation is replaced by
the true cost, which is usually less.

    admit --fits--> reserved --settle(usage)--> spent
      |  ^                   --release--------> nothing
      |  '-- wakes when another request ends, or after a second (Redis: other processes)
      '-- refused: nothing is in flight that could make room

What holds:

- spent + reserved <= cap, as far as estimates hold. A request in flight is never cut off.
- A request that does not fit waits only while a reservation is open; so a job always ends.
- A cap in USD needs a price; a model without one is refused before it is sent.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ritellm.chunks.usage import counts_in
from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.prices import AS_OF, PRICES, Price, cost, reserve
from ritellm.prices.cost import tier_in
from ritellm.token_estimate import USUAL_COMPLETION
from transforms.budget.accounts import Accounts, Caps, LocalAccounts, Reservation
from transforms.journal.base import NOTHING, Journal, Spent

# Seconds after which a waiting request tries again: the end of a request in another process wakes
# nothing here.
_LOOK_AGAIN = 1.0
_Result = TypeVar("_Result")


class BudgetExceeded(RitellmError):
    """The budget of the job is used up; the same command with a higher cap resumes the job."""

    retryable = True


class Ledger:
    """The budget of one process; its methods may be called from any thread.

    Under a cap in USD, a model without a price raises InvalidRequestError: `check` the model of the
    job before it starts.
    """

    def __init__(
        self, caps: Caps, accounts: Accounts | None = None, prices: Mapping[str, Price] = PRICES
    ) -> None:
        self._caps = caps
        self._accounts = accounts or LocalAccounts()
        self._prices = prices
        self.waiting: set[Callable[[], Any]] = set()  # each wakes one waiting request

    def check(self, model: str) -> None:
        """Raise InvalidRequestError if there is a cap that needs a price and `model` has none."""
        self._estimate(model, 1, 1)

    def reserve(
        self,
        model: str,
        prompt_tokens: int,
        max_tokens: int | None,
        service_tier: str | None = None,
    ) -> Reservation | None:
        """Return a reservation for a request in its tier, or None if it does not fit now."""
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
        """Return a reservation once the request fits; raises BudgetExceeded if it never will."""
        most = self._estimate(model, prompt_tokens, max_tokens, service_tier)
        reservation = Reservation(model, most)
        room, loop = asyncio.Event(), asyncio.get_running_loop()

        # Any thread may settle a reservation, but only the loop may set its event.
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
        """Replace the reservation by the cost of `usage`, and return the cost for the journal.

        Without a usage the request costs what was reserved.
        """
        return self.charge(reservation, self.cost_of(reservation, usage, service_tier))

    def charge(self, reservation: Reservation, spent: Spent) -> Spent:
        """Replace the reservation by `spent`, and return that."""
        self._accounts.settle(reservation, spent)
        self._wake()
        return spent

    async def charged(self, reservation: Reservation, spent: Spent) -> Spent:
        """Do what `charge` does; with a server, not on the event loop."""
        return await self._off_loop(self.charge, reservation, spent)

    def release(self, reservation: Reservation) -> None:
        """Release the reservation of a request that was not billed."""
        self.charge(reservation, NOTHING)

    def spent(self) -> Spent:
        """Return the spending so far, including that of earlier runs."""
        return self._accounts.spent()

    def _refusal(self, reservation: Reservation) -> BudgetExceeded:
        return BudgetExceeded(
            f"not sent: the budget is {self._caps}, {self.spent()} is spent, and this request may"
            f" cost {reservation.held} (max_tokens limits that)"
        )

    def cost_of(
        self,
        reservation: Reservation,
        usage: Mapping[str, Any] | None,
        service_tier: str | None = None,
    ) -> Spent:
        """Return the cost of `usage` in the tier that the response names.

        Without a usage it is the reservation. A tier without a price costs as much as the most
        expensive tier, and at least the reservation.
        """
        held = reservation.held
        if usage is None:
            return held
        usage = counts_in(usage)
        counted = (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)
        usd = cost(reservation.model, usage, self._prices, service_tier)
        if usd is None:  # a budget must count too much rather than too little
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
        completion = USUAL_COMPLETION if max_tokens is None else max_tokens
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion}
        usd = reserve(model, usage, self._prices, service_tier)
        if usd is None and self._caps.usd is not None:
            raise InvalidRequestError(
                f"a cap in USD needs the price of {model!r}, which the price table of {AS_OF} does"
                " not have; give it in a file of prices (--prices), or cap the tokens"
                " (--max_total_tokens)"
            )
        return Spent(prompt_tokens + completion, usd or 0.0)

    async def _off_loop(self, call: Callable[..., _Result], *args: Any) -> _Result:
        if self._accounts.is_remote:
            return await asyncio.to_thread(call, *args)
        return call(*args)

    def _wake(self) -> None:
        # A copy: other requests may come or go meanwhile. Those that do not fit wait again.
        for wake in tuple(self.waiting):
            wake()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return


# The ledgers in use: all bundle threads of a process must count in one.
_opened: weakref.WeakValueDictionary[NewLedger, Ledger] = weakref.WeakValueDictionary()
# The ledgers of jobs. A job may pause for hours, without a DoFn, and must not begin anew.
_of_jobs: OrderedDict[tuple[NewLedger, str], Ledger] = OrderedDict()
_MOST_JOBS = 256
_opening = threading.Lock()


@dataclass(frozen=True)
class NewLedger:
    """Makes the ledger of a process; all calls in one process get the same.

    `redis` is the address of the server with the sums of all workers, and `name` names the job on
    it. Without a server each process has the whole budget for itself. `prices` are pickled too.
    """

    caps: Caps
    redis: str | None = field(default=None, repr=False)
    name: str = ""
    prices: Mapping[str, Price] = field(default_factory=lambda: dict(PRICES), compare=False)

    def __call__(self, journal: Journal | None, job: str = "") -> Ledger:
        """Return the ledger of this process; it begins with the spending in the journal.

        With `job`, the ledger is that of the job, which this process remembers while the job has no
        work. A ledger that the program itself holds, without a job, is used for its jobs.
        """
        with _opening:
            ledger = _opened.get(self) or _of_jobs.get((self, job))
            if ledger is None:
                ledger = Ledger(self.caps, self._accounts(journal), self.prices)
                if job:
                    _of_jobs[self, job] = ledger
                else:
                    _opened[self] = ledger
            if job:
                self._remember(job)
            return ledger

    def _remember(self, job: str) -> None:
        if (self, job) in _of_jobs:
            _of_jobs.move_to_end((self, job))
        if len(_of_jobs) > _MOST_JOBS:
            _of_jobs.popitem(last=False)

    def check(self, model: str) -> None:
        """Raise InvalidRequestError if there is a cap that needs a price and `model` has none."""
        Ledger(self.caps, prices=self.prices).check(model)

    def _accounts(self, journal: Journal | None) -> Accounts:
        if self.redis is None:
            return LocalAccounts(NOTHING if journal is None else journal.spent())
        from transforms.budget.redis import RedisAccounts

        accounts = RedisAccounts(self.redis, self.name)
        if journal is not None:
            accounts.raise_to(journal.spent())  # earlier runs without a budget have spent, too
        return accounts
