"""Equal requests in flight: one is sent, the others share its completion or its failure."""

from __future__ import annotations

import asyncio

import pytest

from transforms import CompletePrompts, Prompt
from transforms.elements import Completion, DeadLetter
from transforms.worker.recorded.single_flight import SingleFlight, copy_for

ANSWER = Completion("a", "x", "stop", "m", *[None] * 10, 1, "{}", cost_usd=0.5)
PASSING = DeadLetter("a", "{}", "RateLimitError", "slow down", 429, True, 3, "")
FINAL = DeadLetter("a", "{}", "BadRequestError", "no", 400, False, 1, "")


def ends_of(rows, *ends, found=None):
    """Return the ends of `rows` equal, simultaneous requests, and the number that were sent.

    The first call gets the first of `ends`, and so on; the last one serves all further calls.
    """
    asked = []

    async def find():
        return found

    async def ask():
        asked.append(len(asked))
        await asyncio.sleep(0)
        return ends[min(asked[-1], len(ends) - 1)]

    async def one(single_flight):
        return await single_flight.end("hash", find, ask)

    async def all_of_them():
        single_flight = SingleFlight()
        return await asyncio.gather(*[one(single_flight) for _ in range(rows)])

    return asyncio.run(all_of_them()), len(asked)


def test_one_request_is_sent_and_the_others_share_its_completion():
    assert ends_of(4, ANSWER) == ([None, ANSWER, ANSWER, ANSWER], 1)


def test_a_completion_of_an_earlier_run_serves_all():
    assert ends_of(3, ANSWER, found=ANSWER) == ([ANSWER] * 3, 0)


def test_a_refusal_is_shared():
    assert ends_of(3, FINAL) == ([None, FINAL, FINAL], 1)


def test_after_a_retryable_failure_one_request_is_sent_for_all_waiters():
    assert ends_of(4, PASSING, ANSWER) == ([None, None, ANSWER, ANSWER], 2)


def test_a_second_failure_is_shared():
    assert ends_of(4, PASSING, PASSING) == ([None, None, PASSING, PASSING], 2)


def test_when_the_sender_is_cancelled_a_waiter_sends():
    async def find():
        return None

    async def never():
        await asyncio.Event().wait()

    async def ask():
        await asyncio.sleep(0)
        return ANSWER

    async def run():
        single_flight = SingleFlight()
        first = asyncio.ensure_future(single_flight.end("hash", find, never))
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(single_flight.end("hash", find, ask)) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.gather(*others)

    assert asyncio.run(run()) == [None, ANSWER]


def test_different_requests_are_sent_separately():
    async def find():
        return None

    async def ask():
        return ANSWER

    async def run():
        single_flight = SingleFlight()
        return await asyncio.gather(
            *[single_flight.end(hash, find, ask) for hash in ("one", "other")]
        )

    assert asyncio.run(run()) == [None, None]


def test_a_copy_has_the_fields_of_its_row_and_costs_nothing():
    prompt = Prompt("b", '{"messages":[]}', '{"row":1}', "in.jsonl:2")
    copy = copy_for(prompt, ANSWER)
    assert (copy.id, copy.input, copy.place) == ("b", '{"row":1}', "in.jsonl:2")
    assert (copy.text, copy.shared, copy.cost_usd) == ("x", True, 0.0)
    assert copy_for(prompt, ANSWER._replace(cost_usd=None)).cost_usd is None
    failed = copy_for(prompt, FINAL)
    assert (failed.id, failed.request, failed.attempts) == ("b", prompt.request, 0)


def test_dedupe_without_a_journal_is_refused():
    with pytest.raises(ValueError, match="pass a journal too"):
        CompletePrompts("openai/m", dedupe=True)
