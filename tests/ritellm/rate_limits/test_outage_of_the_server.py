"""With a gate, an outage of the server costs time and no retries, until `give_up_after`."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from ritellm import AsyncClient
from ritellm.calls.call import Call
from ritellm.calls.prepare import plan
from ritellm.errors import APIConnectionError, RitellmError, Timeout
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from ritellm.types import Timeouts

MESSAGES = [{"role": "user", "content": "hi"}]
BASE = "http://server.example/v1"
REFUSED = APIConnectionError("cannot connect", code="cannot_connect")
WHOLE = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}


def outage(error, *, reached, limits, seconds, **params):
    """Return the seconds until a call gives up whose every attempt ends with `error`.

    Each attempt takes a tenth of a second. None means that the call still waits after `seconds`.
    """

    async def run():
        gate, now = Gate(limits), 100.0
        asked = plan("openai/m", MESSAGES, {}, api_key="k", base_url=BASE, num_retries=2, **params)
        gate.queue(asked.endpoint, "m").reached = reached
        call = Call(asked, now, gate)
        while now < 100.0 + seconds:
            exchange = call.start(asked.endpoint, now)
            now += 0.1
            exchange.receive_failure(error)
            try:
                now += call.retry_delay(now, 0.5)
            except RitellmError as raised:
                return now - 100.0, str(raised)
        return None, ""

    return asyncio.run(run())


@pytest.mark.parametrize("error", [REFUSED, Timeout("slow", code="connect_timeout")], ids=repr)
def test_a_server_that_has_responded_is_waited_for_through_an_outage(error):
    assert outage(error, reached=True, limits=Limits(), seconds=500) == (None, "")


def test_the_wait_for_a_server_ends_after_give_up_after():
    limits = Limits(give_up_after=60)
    waited, said = outage(REFUSED, reached=True, limits=limits, seconds=500)
    assert 60 <= waited < 61
    assert "gave up after 60 s without a connection" in said


def test_an_address_that_never_responded_fails_after_the_retries():
    waited, _ = outage(REFUSED, reached=False, limits=Limits(), seconds=500)
    assert waited < 5


def test_a_connection_that_breaks_is_retried_as_before():
    error = APIConnectionError("the connection broke")
    waited, _ = outage(error, reached=True, limits=Limits(), seconds=500)
    assert waited < 5


def test_the_waiting_does_not_count_against_the_total_timeout():
    limits, timeout = Limits(), Timeouts(total=5)
    assert outage(REFUSED, reached=True, limits=limits, seconds=300, timeout=timeout) == (None, "")


def test_a_call_goes_on_after_an_outage_in_the_job():
    """Six refused connections, and no retry is allowed."""
    down = [False, *[True] * 6, False]

    def send(request):
        if down.pop(0):
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=WHOLE)

    async def run():
        gate = Gate(Limits())
        params = {"api_key": "k", "base_url": BASE, "num_retries": 0}
        async with AsyncClient(transport=httpx.MockTransport(send), gate=gate) as client:
            for _ in range(2):
                answer = await client.completion("openai/m", MESSAGES, **params)
            return answer, gate

    answer, gate = asyncio.run(run())
    assert answer.choices[0].message.content == "Hi"
    assert gate.throttled == 6
    assert down == []
