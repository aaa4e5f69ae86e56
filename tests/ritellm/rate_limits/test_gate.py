"""The gate in front of a provider: who waits, who goes first, and who gives up."""

from __future__ import annotations

import asyncio

import pytest
from fake_server import FakeServer, api_error, chat_stream

from ritellm import AsyncClient, RateLimitError, RitellmError
from ritellm.endpoints import Endpoint
from ritellm.providers import PROVIDERS
from ritellm.rate_limits.gate import Gate, Lane, estimated_tokens
from ritellm.rate_limits.pace import Limits
from ritellm.retry import RetryPolicy
from ritellm.types import Request

MESSAGES = [{"role": "user", "content": "hello"}]


async def ask(client, server, **arguments):
    arguments = {"api_key": "k", "base_url": server.base_url, "stream": True, **arguments}
    return await (await client.completion("openai/m", MESSAGES, **arguments)).read()


async def ask_many(server, count, limits, **arguments):
    async with AsyncClient(gate=Gate(limits)) as client:
        asked = [ask(client, server, **arguments) for _ in range(count)]
        return client.gate, await asyncio.gather(*asked, return_exceptions=True)


def test_attempts_under_way_stay_below_the_cap(fake_server):
    _, answers = asyncio.run(ask_many(fake_server, 40, Limits(max_in_flight=5)))
    assert len(answers) == 40
    assert fake_server.max_open <= 5


def test_throttling_costs_a_request_none_of_its_retries(fake_server):
    """Eight refusals, and not a single retry allowed."""
    for _ in range(8):
        fake_server.enqueue(api_error(429, headers={"retry-after": "0"}))
    gate, answers = asyncio.run(ask_many(fake_server, 2, Limits(max_in_flight=1), num_retries=0))
    assert [answer.choices[0].message.content for answer in answers] == ["hello", "hello"]
    assert gate.throttled == 8


def test_other_errors_do_cost_retries(fake_server):
    fake_server.script = lambda request: api_error(500)
    policy = RetryPolicy(num_retries=1, first_delay=0)
    _, [error] = asyncio.run(ask_many(fake_server, 1, Limits(), retry=policy))
    assert error.attempts == 2
    assert len(fake_server.requests) == 2


def test_an_exhausted_quota_is_asked_once(fake_server):
    fake_server.script = lambda request: api_error(429, code="insufficient_quota")
    _, [error] = asyncio.run(ask_many(fake_server, 1, Limits()))
    assert isinstance(error, RateLimitError)
    assert len(fake_server.requests) == 1


def test_the_breaker_gives_up_and_says_why(fake_server):
    fake_server.script = lambda request: api_error(429, headers={"retry-after": "0"})
    _, errors = asyncio.run(ask_many(fake_server, 3, Limits(give_up_after=0.0)))
    for error in errors:
        assert isinstance(error, RateLimitError)
        assert "gave up" in str(error)
        assert "openai/m" in str(error)


@pytest.mark.parametrize(
    ("status", "asked"), [(503, "1000000000"), (503, "-1"), (503, "nan"), (429, "1795377630000")]
)
def test_the_breaker_holds_whatever_a_retry_after_says(fake_server, status, asked):
    fake_server.script = lambda request: api_error(status, headers={"retry-after": asked})
    _, errors = asyncio.run(ask_many(fake_server, 3, Limits(give_up_after=0.05)))
    assert all(isinstance(error, RitellmError) and "gave up" in str(error) for error in errors)


def test_those_in_line_are_told_when_the_provider_refuses_everyone():
    async def go():
        lane = Lane(Limits(max_in_flight=1, give_up_after=0.0), "openai", "m")
        passage = await lane.enter(Request("m", MESSAGES))
        waiting = asyncio.ensure_future(lane.enter(Request("m", MESSAGES)))
        await asyncio.sleep(0)
        passage.over(RateLimitError("slow down"), None)
        with pytest.raises(RateLimitError, match="openai/m: gave up: for 0 s"):
            await waiting

    asyncio.run(go())


def test_a_gate_with_a_line_before_it_is_not_calm():
    """What waits for its turn is not late: a second request would only make the line longer."""

    async def go():
        gate = Gate(Limits(rpm=10))
        lane = gate.lane(Endpoint(PROVIDERS["openai"], "http://localhost"), "m")
        await lane.enter(Request("m", MESSAGES))
        calm = [gate.calm]
        waiting = asyncio.ensure_future(lane.enter(Request("m", MESSAGES)))
        await asyncio.sleep(0)
        calm.append(gate.calm)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return [*calm, gate.calm]

    assert asyncio.run(go()) == [True, False, True]


def test_one_who_leaves_the_line_makes_room(fake_server):
    async def go():
        async with AsyncClient(gate=Gate(Limits(max_in_flight=1))) as client:
            first = await client.completion(
                "openai/m", MESSAGES, api_key="k", base_url=fake_server.base_url, stream=True
            )
            waiting = asyncio.ensure_future(ask(client, fake_server))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await first.aclose()
            return await ask(client, fake_server)

    assert asyncio.run(go()).choices[0].message.content == "hello"


def test_each_model_and_key_has_a_lane_of_its_own():
    async def go():
        gate = Gate(Limits())
        with FakeServer(lambda request: chat_stream("x")) as server:
            async with AsyncClient(gate=gate) as client:
                await ask(client, server)
                await ask(client, server, api_key="other")
                await ask(client, server)
        return len(gate._lanes)

    assert asyncio.run(go()) == 2


@pytest.mark.parametrize(
    ("request_", "least", "most"),
    [
        (Request("m", MESSAGES, {"max_tokens": 100}), 100, 103),
        (Request("m", [{"role": "user", "content": "x" * 300}], {"max_tokens": 10}), 110, 111),
        (Request("m", MESSAGES), 500, 600),
    ],
)
def test_tokens_are_estimated_from_the_text_and_the_longest_answer(request_, least, most):
    assert least <= estimated_tokens(request_) <= most
