"""The gate and its queues: which requests wait, which start first, and when the breaker opens."""

from __future__ import annotations

import asyncio

import pytest
from fake_server import FakeServer, Stall, api_error, chat_events, chat_stream, stream

from ritellm import AsyncClient, RateLimitError, RitellmError
from ritellm.endpoints import Endpoint
from ritellm.errors import InternalServerError, ServiceUnavailableError, Timeout
from ritellm.providers import PROVIDERS
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits, Pace
from ritellm.rate_limits.queue import Queue, estimated_tokens
from ritellm.retry import RetryPolicy
from ritellm.types import Request

MESSAGES = [{"role": "user", "content": "hello"}]
OTHER = [{"role": "user", "content": "other"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 900_000}}


async def ask(client, server, **arguments):
    arguments = {"api_key": "k", "base_url": server.base_url, "stream": True, **arguments}
    return await (await client.completion("openai/m", MESSAGES, **arguments)).read()


async def ask_many(server, count, limits, **arguments):
    async with AsyncClient(gate=Gate(limits)) as client:
        asked = [ask(client, server, **arguments) for _ in range(count)]
        return client.gate, await asyncio.gather(*asked, return_exceptions=True)


def test_requests_and_callers_may_come_while_another_thread_looks_at_the_gate():
    async def look():
        gate = Gate(Limits())
        queue = gate.queue(Endpoint(PROVIDERS["openai"], "http://127.0.0.1:1", "k"), "m")

        class Interrupted(asyncio.Future):
            """Another request comes while this one is looked at."""

            def done(self):
                queue._join(object(), asyncio.Future(), 0.0, again=False)
                queue._join(queue.pace.quota, asyncio.Future(), 0.0, again=False)
                return True

        queue._join(queue.pace.quota, Interrupted(), 0.0, again=False)
        queue._join(queue.pace.quota, asyncio.Future(), 0.0, again=False)
        return queue.has_line, gate.brakes

    assert asyncio.run(look()) == (True, [])


def test_attempts_in_flight_stay_below_the_cap(fake_server):
    _, answers = asyncio.run(ask_many(fake_server, 40, Limits(max_in_flight=5)))
    assert len(answers) == 40
    assert fake_server.max_open <= 5


def test_refusals_use_up_no_retries(fake_server):
    """There are eight refusals, and the policy allows no retry."""
    for _ in range(8):
        fake_server.enqueue(api_error(429, headers={"retry-after": "0"}))
    gate, answers = asyncio.run(ask_many(fake_server, 2, Limits(max_in_flight=1), num_retries=0))
    assert [answer.choices[0].message.content for answer in answers] == ["hello", "hello"]
    assert gate.throttled == 8


def test_other_errors_use_up_retries(fake_server):
    fake_server.script = lambda request: api_error(500)
    policy = RetryPolicy(num_retries=1, first_delay=0)
    _, [error] = asyncio.run(ask_many(fake_server, 1, Limits(), retry=policy))
    assert error.attempts == 2
    assert len(fake_server.requests) == 2


def test_an_exhausted_quota_is_not_retried(fake_server):
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
def test_a_long_retry_after_does_not_delay_the_breaker(fake_server, status, asked):
    fake_server.script = lambda request: api_error(status, headers={"retry-after": asked})
    _, errors = asyncio.run(ask_many(fake_server, 3, Limits(give_up_after=0.05)))
    assert all(isinstance(error, RitellmError) and "gave up" in str(error) for error in errors)


def test_waiting_requests_fail_when_the_breaker_opens():
    async def go():
        queue = Queue(Limits(max_in_flight=1, give_up_after=0.0), "openai", "m")
        admission = await queue.enter(Request("m", MESSAGES))
        waiting = asyncio.ensure_future(queue.enter(Request("m", MESSAGES)))
        await asyncio.sleep(0)
        admission.failed(RateLimitError("slow down"), {})
        admission.leave(None)
        with pytest.raises(
            RateLimitError, match="openai/m: gave up: the provider refused every request for 0 s"
        ):
            await waiting

    asyncio.run(go())


ABSURD = ["86400", "1000000000", "1795377630", "1795377630000", "-1", "soon"]


@pytest.mark.parametrize("asked", ABSURD)
@pytest.mark.parametrize("header", ["retry-after", "x-ratelimit-reset-requests"])
def test_a_long_wait_in_a_header_does_not_keep_requests_waiting(fake_server, header, asked):
    """One request is in flight; the others have never been sent."""
    headers = {header: asked, "x-ratelimit-remaining-requests": "0"}
    fake_server.script = lambda request: api_error(429, headers=headers)
    limits = Limits(max_in_flight=1, give_up_after=0.05)
    _, errors = asyncio.run(ask_many(fake_server, 4, limits))
    assert all(isinstance(error, RitellmError) and "gave up" in str(error) for error in errors)


def refused_for_long(give_up_after=600.0):
    """Return the queue of a provider that refused its newest request 15 minutes ago."""
    queue = Queue(Limits(max_in_flight=8, give_up_after=give_up_after), "openai", "m")
    for ago in (2000.0, 900.0):
        permit = queue.pace.start(queue.now() - ago)
        queue.pace.refused(permit, queue.now() - ago)
        queue.pace.end(permit, queue.now() - ago)
    assert queue.pace.breaker.open_after(queue.now()) is not None
    return queue


@pytest.mark.parametrize("recovered", [True, False])
def test_an_open_breaker_lets_one_probe_through_and_closes_if_it_is_accepted(recovered):
    async def go():
        queue = refused_for_long()
        tried = await queue.enter(Request("m", MESSAGES))
        with pytest.raises(RateLimitError, match="gave up"):
            await queue.enter(Request("m", MESSAGES))
        if recovered:
            tried.accepted({})
            await queue.enter(Request("m", MESSAGES))
        else:
            tried.failed(RateLimitError("slow down"), {})
            tried.leave(None)
            with pytest.raises(RateLimitError, match="gave up"):
                await queue.enter(Request("m", MESSAGES))

    asyncio.run(go())


def test_an_open_breaker_sends_no_probe_during_a_retry_after():
    async def go():
        queue = refused_for_long()
        spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1d"}
        permit = queue.pace.start(queue.now() - 500)
        queue.pace.refused(permit, queue.now() - 500, None, spent)
        queue.pace.end(permit, queue.now())
        with pytest.raises(RateLimitError, match="gave up"):
            await asyncio.wait_for(queue.enter(Request("m", MESSAGES)), 5)

    asyncio.run(go())


@pytest.mark.parametrize("asked", [86_400.0, 1e9, None])
def test_waiting_requests_wake_when_the_breaker_opens(asked):
    """Until then no request starts or ends."""

    async def go():
        queue = Queue(Limits(max_in_flight=2, give_up_after=0.02), "openai", "m")
        refused, unheard = [await queue.enter(Request("m", MESSAGES)) for _ in range(2)]
        waiting = [asyncio.ensure_future(queue.enter(Request("m", MESSAGES))) for _ in range(3)]
        refused.failed(RateLimitError("slow down", retry_after=asked), {})
        refused.leave(None)
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        unheard.leave(None)
        return found

    found = asyncio.run(go())
    assert isinstance(found[-1], RateLimitError)
    assert "gave up" in str(found[-1])


def test_a_spent_budget_holds_requests_no_longer_than_the_breaker():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1d"}

    async def go():
        queue = Queue(Limits(give_up_after=0.02), "openai", "m")
        admission = await queue.enter(Request("m", MESSAGES))
        admission.accepted(headers)
        waiting = asyncio.ensure_future(queue.enter(Request("m", MESSAGES)))
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(go())


def test_a_row_that_is_refused_repeatedly_delays_no_other(fake_server):
    """The second refusal demands a wait of an hour; only its own row waits."""
    refusals = iter([{"retry-after": "0"}, {"retry-after": "3600"}])

    def script(request):
        if request.json["messages"] != OTHER:
            return chat_stream("fine")
        headers = next(refusals)
        return api_error(429, headers=headers)

    async def go():
        async with AsyncClient(gate=Gate(Limits(max_in_flight=32))) as client:
            answers = [asyncio.ensure_future(ask(client, fake_server)) for _ in range(20)]
            options = {"api_key": "k", "base_url": fake_server.base_url, "stream": True}
            row = asyncio.ensure_future(client.completion("openai/m", OTHER, **options))
            await fake_server.await_until(
                lambda: sum(r.json["messages"] == OTHER for r in fake_server.requests) == 2
            )
            answers += [asyncio.ensure_future(ask(client, fake_server)) for _ in range(20)]
            found = await asyncio.wait_for(asyncio.gather(*answers), 5)
            while client.gate.throttled < 2:
                await asyncio.sleep(0)
            found.append(await asyncio.wait_for(ask(client, fake_server), 5))
            assert not row.done()
            assert {brake.reason for brake in client.gate.brakes} == {"noise"}
            assert client.gate.allowed == 32
            row.cancel()
            await asyncio.gather(row, return_exceptions=True)
            assert client.gate.in_flight == 0
            return found

    fake_server.script = script
    assert len(asyncio.run(go())) == 41


def test_a_gate_counts_its_requests():
    async def go():
        gate = Gate(Limits(max_in_flight=7))
        assert (gate.allowed, gate.in_flight, gate.throttled, gate.brakes) == (7, 0, 0, [])
        queues = [
            gate.queue(Endpoint(PROVIDERS["openai"], "http://localhost"), model) for model in "mn"
        ]
        admissions = [await queue.enter(Request("m", MESSAGES)) for queue in queues]
        assert (gate.allowed, gate.in_flight, gate.throttled, gate.brakes) == (14, 2, 0, [])
        now = asyncio.get_running_loop().time()
        gate.hold_back(now - 3.0, now)
        assert gate.waited == pytest.approx(3.0, abs=0.1)
        for admission in admissions:
            admission.failed(RateLimitError("slow down"), {})
            admission.leave(None)
        assert (gate.in_flight, gate.throttled) == (0, 2)

    asyncio.run(go())


def test_a_request_that_is_admitted_and_cancelled_at_once_frees_its_place():
    async def go():
        queue = Queue(Limits(max_in_flight=1), "openai", "m")
        first = await queue.enter(Request("m", MESSAGES))
        waiting = asyncio.ensure_future(queue.enter(Request("m", MESSAGES)))
        await asyncio.sleep(0)
        first.leave(None)  # admits the waiting request, whose task has not run yet
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert queue.pace.in_flight == 0
        await asyncio.wait_for(queue.enter(Request("m", MESSAGES)), 5)

    asyncio.run(go())


def test_the_tokens_used_replace_the_tokens_reserved():
    async def go(used):
        queue = Queue(Limits(tpm=60_000), "openai", "m")  # 6,000 at once
        admission = await queue.enter(Request("m", MESSAGES, {"max_tokens": 6000}))
        admission.accepted({})
        admission.leave({"total_tokens": used})
        return queue.pace.wait(queue.now(), 3000)

    assert asyncio.run(go(100)) == 0
    assert asyncio.run(go(6000)) > 1


@pytest.mark.parametrize(
    ("error", "refusals", "less"),
    [
        (RateLimitError("x"), 1, True),
        (ServiceUnavailableError("x"), 1, True),
        (Timeout("x", retryable=True), 0, True),
        (Timeout("x", retryable=False), 0, False),
        (RateLimitError("x", retryable=False), 0, False),  # an exhausted quota
        (InternalServerError("x", retryable=True), 0, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_count_as_refusals_only_if_they_are_due_to_load(error, refusals, less):
    async def go():
        queue = Queue(Limits(max_in_flight=32), "openai", "m")
        admissions = [await queue.enter(Request("m", MESSAGES)) for _ in range(32)]
        for admission in admissions:
            admission.failed(error, {})
            admission.leave(None)
        return queue.pace

    pace = asyncio.run(go())
    assert (pace.refusals, pace.allowed < 32) == (refusals * 32, less)


@pytest.mark.parametrize(("after", "known"), [(None, False), (-1.0, False), (0.5, True)])
def test_the_time_to_the_first_content_is_that_of_the_newest_attempt(after, known):
    """Content that arrived before the attempt started belongs to an earlier attempt."""

    async def go():
        queue = Queue(Limits(), "openai", "m")
        admission = await queue.enter(Request("m", MESSAGES))
        permit = admission._permit
        admission.accepted({})
        admission.completed(None if after is None else permit.started + after)
        return permit.timed

    assert asyncio.run(go()) is known


@pytest.mark.parametrize("left_early", [True, False])
def test_a_response_that_the_caller_abandons_does_not_count_as_short(
    fake_server, monkeypatch, left_early
):
    completed = []
    monkeypatch.setattr(Pace, "completed", lambda *arguments: completed.append(arguments))
    first, *others = chat_events("one two three")
    fake_server.script = lambda request: stream(first, *([Stall()] if left_early else others))

    async def go():
        async with AsyncClient(gate=Gate(Limits())) as client:
            options = {"api_key": "k", "base_url": fake_server.base_url, "stream": True}
            answer = await client.completion("openai/m", MESSAGES, **options)
            await anext(answer)
            if not left_early:
                await answer.read()
            await answer.aclose()
            return client.gate.in_flight

    assert asyncio.run(go()) == 0
    assert len(completed) == (not left_early)


def test_a_gate_with_waiting_requests_is_not_calm():
    """A waiting request is not late: a hedge would only make the queue longer."""

    async def go():
        gate = Gate(Limits(rpm=10))
        queue = gate.queue(Endpoint(PROVIDERS["openai"], "http://localhost"), "m")
        await queue.enter(Request("m", MESSAGES))
        calm = [gate.calm]
        waiting = asyncio.ensure_future(queue.enter(Request("m", MESSAGES)))
        await asyncio.sleep(0)
        calm.append(gate.calm)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return [*calm, gate.calm]

    assert asyncio.run(go()) == [True, False, True]


def test_a_cancelled_waiting_request_frees_its_place(fake_server):
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


def test_each_model_and_key_has_a_queue_of_its_own():
    async def go():
        gate = Gate(Limits())
        with FakeServer(lambda request: chat_stream("x")) as server:
            async with AsyncClient(gate=gate) as client:
                await ask(client, server)
                await ask(client, server, api_key="other")
                await ask(client, server)
        return len(gate._queues)

    assert asyncio.run(go()) == 2


@pytest.mark.parametrize(
    ("request_", "least", "most"),
    [
        (Request("m", MESSAGES, {"max_tokens": 100}), 100, 125),
        (Request("m", MESSAGES, {"max_tokens": 100, "n": 3}), 300, 325),
        (Request("m", MESSAGES, extra_body={"options": {"num_predict": 40}}), 40, 80),
        (Request("m", [{"role": "user", "content": "x" * 300}], {"max_tokens": 10}), 110, 135),
        (Request("m", [{"role": "user", "content": [IMAGE]}], {"max_tokens": 10}), 1510, 1560),
        (Request("m", MESSAGES), 500, 600),
    ],
)
def test_the_reserved_tokens_cover_the_prompt_and_the_longest_completion(request_, least, most):
    assert least <= estimated_tokens(request_) <= most
