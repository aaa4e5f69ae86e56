"""Equal requests under way at once: who asks, who waits, and what a failure means for whom."""

from __future__ import annotations

import asyncio

import pytest

from transforms import CompletePrompts, Prompt
from transforms.elements import Completion, DeadLetter
from transforms.worker.single_flight import SingleFlight, copy_for

ANSWER = Completion("a", "x", "stop", "m", *[None] * 10, 1, "{}", cost_usd=0.5)
PASSING = DeadLetter("a", "{}", "RateLimitError", "slow down", 429, True, 3, "")
FINAL = DeadLetter("a", "{}", "BadRequestError", "no", 400, False, 1, "")


def ends_of(rows, *ends, found=None):
    """Return how `rows` equal requests end, asked all at once, and how often it was asked.

    The first to ask meets the first of `ends`, and so on; the last is met by all others.
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


def test_one_asks_and_the_others_take_its_answer():
    assert ends_of(4, ANSWER) == ([None, ANSWER, ANSWER, ANSWER], 1)


def test_what_was_answered_before_is_taken_by_all():
    assert ends_of(3, ANSWER, found=ANSWER) == ([ANSWER] * 3, 0)


def test_a_refusal_holds_for_all():
    assert ends_of(3, FINAL) == ([None, FINAL, FINAL], 1)


def test_after_a_passing_failure_one_asks_again_for_all_that_waited():
    assert ends_of(4, PASSING, ANSWER) == ([None, None, ANSWER, ANSWER], 2)


def test_what_fails_again_fails_for_all():
    assert ends_of(4, PASSING, PASSING) == ([None, None, PASSING, PASSING], 2)


def test_when_the_one_who_asks_is_given_up_another_asks():
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


def test_other_requests_are_asked_for_themselves():
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


def test_a_copy_is_the_rows_own_and_cost_nothing():
    prompt = Prompt("b", '{"messages":[]}', '{"row":1}', "in.jsonl:2")
    copy = copy_for(prompt, ANSWER)
    assert (copy.id, copy.input, copy.place) == ("b", '{"row":1}', "in.jsonl:2")
    assert (copy.text, copy.shared, copy.cost_usd) == ("x", True, 0.0)
    assert copy_for(prompt, ANSWER._replace(cost_usd=None)).cost_usd is None
    failed = copy_for(prompt, FINAL)
    assert (failed.id, failed.request, failed.attempts) == ("b", prompt.request, 0)


def test_without_a_journal_there_is_nothing_to_share():
    with pytest.raises(ValueError, match="needs one"):
        CompletePrompts("openai/m", dedupe=True)
