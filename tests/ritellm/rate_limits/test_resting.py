"""How long a failed attempt rests before the next one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from fake_server import Close, FakeServer, api_error, chat_events, chat_stream, stream

from ritellm import AsyncClient, RetryPolicy
from ritellm.calls.call import Call
from ritellm.calls.prepare import plan
from ritellm.errors import (
    APIConnectionError,
    InternalServerError,
    RateLimitError,
    ServiceUnavailableError,
    StreamTruncatedError,
)
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from ritellm.rate_limits.queue import Queue
from ritellm.rate_limits.sample import Permit
from ritellm.types import Request

MODEL, MESSAGES = "openai/m", [{"role": "user", "content": "hello"}]
RETRIES = RetryPolicy(num_retries=50, first_delay=4.0)
OWN_FAULTS = [
    InternalServerError("broken", retryable=True),
    APIConnectionError("cut"),
    StreamTruncatedError("cut"),
]
REFUSALS = [RateLimitError("busy"), ServiceUnavailableError("busy")]


def name(error):
    return type(error).__name__


def call_of(**options):
    """Return a call behind a gate, made at 0."""
    options = {"retry": RETRIES, "api_key": "k", "on_interrupt": "restart", **options}
    made = plan(MODEL, MESSAGES, {}, stream=True, **options)
    return Call(
        made, 0.0, SimpleNamespace(limits=Limits(give_up_after=600.0), has_reached=lambda _: True)
    )


def fail(call, error, now=0.0):
    """Let one attempt fail with `error`; return (delay, least, most) of the rest after it."""
    call.start(call.plan.endpoint, now).receive_failure(error)
    delay = call.retry_delay(now, jitter=0.5)
    return delay, call.backoff.shortest_rest(delay), call.backoff.longest_rest(delay)


@pytest.mark.parametrize("error", OWN_FAULTS, ids=name)
def test_a_row_that_fails_while_others_succeed_is_retried_soon(error):
    call = call_of()
    for _ in range(8):
        delay, least, most = fail(call, error)
        assert least < delay / 2
        assert least < 1.0
        call.backoff.rested(others_accepted=True)
    assert most == least  # it has failed alone too often to wait for others


@pytest.mark.parametrize("error", OWN_FAULTS, ids=name)
def test_a_row_that_fails_while_none_succeeds_backs_off_in_full(error):
    call, delays = call_of(), []
    for _ in range(8):
        delay, _, most = fail(call, error)
        assert most == delay
        delays.append(delay)
        call.backoff.rested(others_accepted=False)
    assert delays == sorted(delays)
    assert delays[0] < delays[2]


def test_one_failure_among_successes_may_be_due_to_the_provider():
    call = call_of()
    fail(call, OWN_FAULTS[0])
    call.backoff.rested(others_accepted=True)
    delay, least, most = fail(call, OWN_FAULTS[0])
    assert least < most == delay


@pytest.mark.parametrize("error", REFUSALS, ids=name)
def test_the_rest_of_a_refused_row_does_not_depend_on_others(error):
    call = call_of()
    for others_accepted in (True, True, False, True):
        delay, least, most = fail(call, error)
        assert delay == least == most
        call.backoff.rested(others_accepted)


@pytest.mark.parametrize("error", REFUSALS, ids=name)
def test_refusals_do_not_count_as_failures_of_the_row_alone(error):
    call = call_of()
    for _ in range(8):
        fail(call, error)
        call.backoff.rested(others_accepted=True)
    delay, _, most = fail(call, OWN_FAULTS[0])
    assert most == delay


def test_a_failure_with_retry_after_rests_that_long():
    call = call_of()
    for _ in range(5):
        error = InternalServerError("broken", retryable=True, retry_after=7.0)
        _, least, most = fail(call, error)
        assert 7.0 <= least == most
        call.backoff.rested(others_accepted=True)


# Fallbacks


FALLBACK = {"fallbacks": ["openai/other"]}


def test_a_busy_fallback_is_retried_however_long_the_first_plan_was_throttled():
    call = call_of(**FALLBACK)
    fail(call, RateLimitError("busy"), now=0.0)
    assert fail(call, RateLimitError("busy"), now=700.0)[0] == 0.0
    assert call.plan.request.model == "other"
    delay, *_ = fail(call, RateLimitError("busy"), now=701.0)
    assert delay > 0
    assert call.plan.request.model == "other"


def test_failures_of_the_first_plan_do_not_count_against_the_fallback():
    call = call_of(**FALLBACK, retry=RetryPolicy(num_retries=3, first_delay=4.0))
    while call.plan.request.model == "m":
        fail(call, InternalServerError("broken", retryable=True))
        call.backoff.rested(others_accepted=True)
    delay, least, most = fail(call, InternalServerError("broken", retryable=True))
    assert least < most == delay


# The queue


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


def resting(work):
    """Run `work(queue, rest)`; `rest(started, least, most)` rests in a task of its own."""

    async def go():
        queue = Queue(Limits(max_in_flight=8), "openai", "m")

        def rest(started, least=0.0, most=60.0):
            return asyncio.ensure_future(queue.rest(Permit(started), least, most))

        return await work(queue, rest)

    return asyncio.run(go())


def accept(queue, started):
    queue.accepted(Permit(started), {})


def test_a_rest_ends_once_the_provider_accepts_another_request():
    async def work(queue, rest):
        waiting = rest(started=1.0)
        await turns()
        assert not waiting.done()
        accept(queue, started=1.5)
        assert await waiting
        assert not queue._resting

    resting(work)


def test_an_acceptance_of_an_earlier_request_does_not_end_a_rest():
    """The provider may have failed since the request was sent."""

    async def work(queue, rest):
        waiting = [rest(started=2.0), rest(started=1.0)]
        await turns()
        accept(queue, started=0.5)
        await turns()
        assert [each.done() for each in waiting] == [False, False]
        accept(queue, started=2.0)
        await turns()
        assert [each.done() for each in waiting] == [False, True]
        accept(queue, started=3.0)
        assert await waiting[0]

    resting(work)


def test_a_rest_is_short_if_another_request_was_accepted_meanwhile():
    async def work(queue, rest):
        accept(queue, started=2.0)
        return await asyncio.wait_for(rest(started=1.0), 5)

    assert resting(work)


def test_an_acceptance_does_not_shorten_a_rest_below_its_least_time():
    async def work(queue, rest):
        accept(queue, started=2.0)
        waiting = rest(started=1.0, least=60.0)
        await turns()
        accept(queue, started=3.0)
        await turns()
        assert not waiting.done()
        waiting.cancel()

    resting(work)


@pytest.mark.parametrize(("least", "most"), [(0.0, 0.01), (0.01, 0.01), (0.01, 0.0)])
def test_a_rest_ends_after_its_longest_time_if_nothing_is_accepted(least, most):
    async def work(queue, rest):
        ended = await asyncio.wait_for(rest(1.0, least, most), 5)
        assert not queue._resting
        return ended

    assert resting(work) is False


def test_a_rest_that_is_cancelled_leaves_nothing_behind():
    async def work(queue, rest):
        waiting, other = rest(started=1.0), rest(started=1.0)
        await turns()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(queue._resting) == 1
        accept(queue, started=2.0)
        assert await other

    resting(work)


def test_a_rest_that_is_woken_and_cancelled_at_once_affects_no_other():
    async def work(queue, rest):
        waiting, other = rest(started=1.0), rest(started=1.0)
        await turns()
        waiting.cancel()
        accept(queue, started=2.0)
        accept(queue, started=3.0)
        assert await other
        assert (await asyncio.gather(waiting, return_exceptions=True))[0] is not True
        assert not queue._resting

    resting(work)


# Through the client


def half():
    return stream(*chat_events("one two three")[:3], Close())


@pytest.mark.parametrize("failure", [api_error(500), half()], ids=["500", "cut"])
def test_a_failed_row_waits_only_until_another_succeeds(failure):
    """Its backoff is ten minutes, so the test would time out if the row waited for it."""

    async def go(server):
        retry = RetryPolicy(first_delay=0.1, num_retries=5)
        late = RetryPolicy(first_delay=1200.0, longest_delay=1200.0)
        options = {"api_key": "k", "base_url": server.base_url, "on_interrupt": "restart"}
        async with AsyncClient(gate=Gate(Limits()), **options) as client:

            async def ask(retry):
                opened = await client.completion(MODEL, MESSAGES, stream=True, retry=retry)
                return (await opened.read()).choices[0].message.content

            failed = asyncio.ensure_future(ask(late))
            await server.await_until(lambda: server.requests)
            await server.await_until(lambda: not server.open_streams)
            assert await ask(retry) == "fine"
            return await asyncio.wait_for(failed, 5)

    with FakeServer(lambda request: chat_stream("fine")) as server:
        server.enqueue(failure)
        assert asyncio.run(go(server)) == "fine"
        assert len(server.requests) == 3


def test_a_retry_goes_first():
    async def go():
        queue = Queue(Limits(max_in_flight=1), "openai", "m")
        order = []

        async def enter(name, again):
            admission = await queue.enter(Request("m", MESSAGES), again)
            order.append(name)
            admission.leave(None)

        first = await queue.enter(Request("m", MESSAGES))
        waiting = [
            asyncio.ensure_future(enter(name, again))
            for name, again in [("new", False), ("newer", False), ("again", True)]
        ]
        await turns()
        first.leave(None)
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(go()) == ["again", "new", "newer"]
