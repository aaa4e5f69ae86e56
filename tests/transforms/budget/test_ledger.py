"""The budget: never exceeded, fully used, and continued by the next run."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from ritellm.errors import InvalidRequestError
from ritellm.prices import PRICES, Price
from transforms.budget.accounts import Caps, LocalAccounts
from transforms.budget.ledger import BudgetExceeded, Ledger, NewLedger
from transforms.budget.redis import RedisAccounts
from transforms.budget.service_tier import tier_requested
from transforms.connections.redis import RedisUnavailable
from transforms.journal import JournalKey, Spent, open_journal

MODEL = "openai/gpt-4o-mini"


def usage(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion}


@pytest.fixture(params=["this process", "redis"])
def new_accounts(request):
    """Return a function that opens the same accounts again, as another worker does."""
    if request.param == "this process":
        local = LocalAccounts()
        return lambda: local
    server = request.getfixturevalue("redis_server")
    name = f"{random.SystemRandom().getrandbits(64)}"
    return lambda: RedisAccounts(server.url, name)


def test_a_request_that_might_exceed_the_cap_is_not_sent(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())
    assert ledger.reserve(MODEL, 50, 50) is not None
    assert ledger.reserve(MODEL, 1, 0) is None


def test_the_next_request_can_use_the_unused_tokens_of_a_reservation(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())
    first = ledger.reserve(MODEL, 50, 50)
    assert ledger.settle(first, usage(40, 20)).tokens == 60
    assert ledger.reserve(MODEL, 20, 21) is None
    assert ledger.reserve(MODEL, 20, 20) is not None
    assert ledger.spent().tokens == 60


def test_a_request_that_was_not_billed_costs_nothing(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())
    ledger.release(ledger.reserve(MODEL, 50, 50))
    assert ledger.spent() == Spent()
    assert ledger.reserve(MODEL, 50, 50) is not None


def test_a_completion_without_usage_costs_its_reservation(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())
    assert ledger.settle(ledger.reserve(MODEL, 50, 20), None).tokens == 70
    assert ledger.spent().tokens == 70


def test_a_completion_longer_than_its_reservation_counts_in_full(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())
    ledger.settle(ledger.reserve(MODEL, 50, 20), usage(50, 300))
    assert ledger.spent().tokens == 350
    assert ledger.reserve(MODEL, 1, 1) is None


def test_dollars_are_capped_by_the_price_of_the_model(new_accounts):
    ledger = Ledger(Caps(usd=0.75), new_accounts())
    reservation = ledger.reserve(MODEL, 1_000_000, 1_000_000)
    assert ledger.reserve(MODEL, 10, 10) is None
    spent = ledger.settle(reservation, usage(1_000_000, 500_000))
    assert spent.usd == pytest.approx(0.45)
    assert ledger.spent().usd == pytest.approx(0.45)
    assert ledger.reserve(MODEL, 0, 500_000) is not None


def test_workers_share_one_budget(new_accounts):
    one, two = (Ledger(Caps(tokens=100), new_accounts()) for _ in range(2))
    assert one.reserve(MODEL, 60, 0) is not None
    assert two.reserve(MODEL, 60, 0) is None
    assert two.reserve(MODEL, 40, 0) is not None


def test_many_threads_never_exceed_the_cap_and_use_it_up(new_accounts):
    ledger = Ledger(Caps(tokens=1000), new_accounts())

    def work(_):
        sent = 0
        while (reservation := ledger.reserve(MODEL, 5, 5)) is not None:
            ledger.settle(reservation, usage(5, 5))
            sent += 1
        return sent

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) <= 100
    while (reservation := ledger.reserve(MODEL, 5, 5)) is not None:
        ledger.settle(reservation, usage(5, 5))
    assert ledger.spent().tokens == 1000


def test_a_waiting_request_is_admitted_once_it_fits_and_refused_if_it_never_will(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())

    async def row(name, in_flight):
        try:
            reservation = await ledger.admit(MODEL, 10, 30)
        except BudgetExceeded as error:
            return str(error)
        in_flight.append(name)
        for _ in range(20):
            await asyncio.sleep(0)
        await ledger.charged(reservation, ledger.cost_of(reservation, usage(10, 5)))
        return None

    async def job():
        sent = []
        refused = await asyncio.gather(*[row(n, sent) for n in range(10)])
        return sent, [text for text in refused if text]

    sent, refused = asyncio.run(asyncio.wait_for(job(), 60))
    # 15 tokens each: after the fifth no reservation of 40 fits.
    assert len(sent) == 5
    assert len(refused) == 5
    assert "the budget is 100 tokens" in refused[0]
    assert "max_tokens limits that" in refused[0]
    assert ledger.spent().tokens == 75


def test_a_request_that_never_fits_is_refused_at_once(new_accounts):
    ledger = Ledger(Caps(tokens=10), new_accounts())
    with pytest.raises(BudgetExceeded) as caught:
        asyncio.run(ledger.admit(MODEL, 10, 30))
    assert caught.value.retryable


def test_a_completion_of_unlimited_length_gets_a_generous_reservation(new_accounts):
    assert Ledger(Caps(tokens=4000), new_accounts()).reserve(MODEL, 10, None) is None
    assert Ledger(Caps(tokens=5000), new_accounts()).reserve(MODEL, 10, None) is not None


def test_without_a_cap_every_request_fits(new_accounts):
    ledger = Ledger(Caps(), new_accounts())
    ledger.settle(ledger.reserve("who/knows", 10**9, 10**9), usage(10**9, 10**9))
    assert ledger.reserve("who/knows", 10**9, 10**9) is not None
    assert ledger.spent() == Spent(2 * 10**9)


def test_a_cap_in_dollars_without_a_price_is_an_error_at_the_start():
    ledger = Ledger(Caps(usd=5))
    ledger.check(MODEL)
    with pytest.raises(
        InvalidRequestError, match=r"needs the price of 'who/knows'.*file of prices"
    ):
        ledger.check("who/knows")
    with pytest.raises(InvalidRequestError):
        ledger.reserve("who/knows", 1, 1)
    Ledger(Caps(usd=5), prices={"who/knows": Price(1, 1)}).check("who/knows")
    Ledger(Caps(tokens=5)).check("who/knows")


def test_a_completion_without_a_price_costs_its_reservation():
    ledger = Ledger(Caps(usd=5))
    reservation = ledger.reserve(MODEL, 1000, 1000)
    audio = {**usage(10, 10), "prompt_tokens_details": {"audio_tokens": 5}}
    assert ledger.settle(reservation, audio) == Spent(20, reservation.held.usd)


@pytest.mark.parametrize(
    ("tier", "usd"),
    [(None, 11.25), ("default", 11.25), ("flex", 5.625), ("priority", 22.5), ("auto", 22.5)],
)
def test_a_reservation_uses_the_tier_of_the_request(tier, usd):
    ledger = Ledger(Caps(usd=100))
    reservation = ledger.reserve("openai/gpt-5", 1_000_000, 1_000_000, tier)
    assert reservation.held.usd == pytest.approx(usd)


@pytest.mark.parametrize(
    ("tier", "usd"), [(None, 1.125), ("flex", 0.5625), ("priority", 2.25), ("scale", 11.25)]
)
def test_the_cost_uses_the_tier_of_the_response(tier, usd):
    ledger = Ledger(Caps(usd=100))
    reservation = ledger.reserve("openai/gpt-5", 1_000_000, 1_000_000)
    spent = ledger.settle(reservation, usage(100_000, 100_000), tier)
    assert spent.usd == ledger.spent().usd == pytest.approx(usd)


def test_a_tier_without_a_price_costs_as_much_as_the_most_expensive():
    ledger = Ledger(Caps(usd=100))
    reservation = ledger.reserve("openai/gpt-5", 10, 10)
    spent = ledger.settle(reservation, usage(1_000_000, 1_000_000), "scale")
    assert spent.usd == pytest.approx(22.5)


@pytest.mark.parametrize(
    ("request_", "tier"),
    [
        ({}, None),
        ({"service_tier": None}, None),
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "flex", "extra_body": {"service_tier": "priority"}}, "priority"),
        ({"extra_body": {"serviceTier": {"type": "priority"}}}, "priority"),
        ({"extra_body": {"speed": "fast"}}, "fast"),
        ({"extra_body": None}, None),
    ],
)
def test_a_request_names_its_tier_as_a_parameter_or_in_the_extra_body(request_, tier):
    assert tier_requested(request_) == tier


def test_settling_twice_releases_a_reservation_once(new_accounts):
    ledger = Ledger(Caps(tokens=100), new_accounts())
    reservation = ledger.reserve(MODEL, 50, 0)
    ledger.release(reservation)
    ledger.release(reservation)
    assert ledger.reserve(MODEL, 100, 0) is not None
    assert ledger.reserve(MODEL, 1, 0) is None


def test_the_same_command_with_a_higher_cap_resumes(tmp_path):
    def run(cap):
        """Send until the cap is reached; return how many were sent."""
        with contextlib.closing(open_journal("auto", str(tmp_path), required=True)) as journal:
            ledger = NewLedger(Caps(tokens=cap), name=f"{cap}")(journal)
            sent = 0
            while (reservation := ledger.reserve(MODEL, 5, 5)) is not None:
                spent = ledger.settle(reservation, usage(5, 5))
                journal.record(JournalKey(f"{cap}-{sent}", "00" * 16), b"{}", spent).result()
                sent += 1
            return sent

    assert [run(50), run(50), run(80)] == [5, 0, 3]


def test_a_worker_has_one_ledger():
    new_ledger = NewLedger(Caps(usd=1, tokens=5), name="a job", prices={"who/knows": Price(1, 1)})
    on_the_worker = pickle.loads(pickle.dumps(new_ledger))
    ledger = on_the_worker(None)
    assert ledger is new_ledger(None)
    ledger.check("who/knows")
    assert new_ledger.prices != PRICES


def test_the_reservations_of_a_dead_worker_are_released(redis_server):
    dead = Ledger(Caps(tokens=100), RedisAccounts(redis_server.url, "dead", lease_seconds=0))
    assert dead.reserve(MODEL, 100, 0) is not None
    assert Ledger(Caps(tokens=100), RedisAccounts(redis_server.url, "dead")).reserve(MODEL, 100, 0)


def test_a_completion_after_its_lease_still_counts(redis_server):
    def accounts(lease_seconds):
        return RedisAccounts(redis_server.url, "late", lease_seconds=lease_seconds)

    late, other = Ledger(Caps(tokens=100), accounts(0)), Ledger(Caps(tokens=100), accounts(60))
    reservation = late.reserve(MODEL, 100, 0)
    assert other.reserve(MODEL, 60, 0) is not None
    late.settle(reservation, usage(30, 0))
    assert other.spent().tokens == 30
    assert other.reserve(MODEL, 11, 0) is None
    assert other.reserve(MODEL, 10, 0) is not None


def test_redis_through_the_factory_keeps_the_sums_of_all_runs(redis_server):
    for _ in range(2):
        ledger = NewLedger(Caps(tokens=100), redis=redis_server.url, name="runs")(None)
        ledger.settle(ledger.reserve(MODEL, 30, 0), usage(30, 0))
        del ledger
    assert (
        NewLedger(Caps(tokens=100), redis=redis_server.url, name="runs")(None).spent().tokens == 60
    )


def test_a_budget_without_its_server_is_an_error(tmp_path):
    pytest.importorskip("redis")
    accounts = RedisAccounts(f"unix://{tmp_path}/nobody.sock", "job", tries=0)
    with pytest.raises(RedisUnavailable):
        Ledger(Caps(tokens=5), accounts).reserve(MODEL, 1, 1)


def test_with_redis_the_spending_of_runs_without_a_budget_counts(redis_server, tmp_path):
    name = f"{random.SystemRandom().getrandbits(64)}"
    journal = open_journal(f"sqlite:{tmp_path}/j.sqlite", str(tmp_path), required=True)
    journal.record(JournalKey("a", "00" * 16), b"{}", Spent(70, 0.5)).result()
    new = NewLedger(Caps(tokens=100), redis_server.url, name)
    ledger = new(journal)
    assert ledger.spent() == Spent(70, 0.5)
    ledger.settle(ledger.reserve(MODEL, 10, 10), usage(10, 10))
    del ledger
    assert new(journal).spent().tokens == 90  # it is ahead of the journal, and stays so
    journal.close()
