"""With a gate, an outage of the server costs time and no retries, until `give_up_after`."""

from __future__ import annotations

import asyncio
import selectors
import socket
import ssl

import httpx
import pytest

from ritellm import AsyncClient, Client
from ritellm.calls.call import Call
from ritellm.calls.prepare import plan
from ritellm.errors import APIConnectionError, RitellmError, Timeout
from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.pace import Limits
from ritellm.types import Timeouts

MESSAGES = [{"role": "user", "content": "hi"}]
BASE = "http://server.example/v1"
DOWN = "http://down.example/v1"
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


@pytest.mark.parametrize("error", [REFUSED, Timeout("slow", code="connect_timeout")], ids=repr)
def test_a_server_is_waited_for_in_an_outage_that_began_before_the_process(error):
    assert outage(error, reached=False, limits=Limits(), seconds=500) == (None, "")


@pytest.mark.parametrize("code", ["unknown_host", "no_tls"])
def test_a_name_or_a_certificate_that_is_rather_wrong_is_waited_for_if_it_was_right_before(code):
    error = APIConnectionError("cannot connect", code=code)
    waited, _ = outage(error, reached=False, limits=Limits(), seconds=500)
    assert waited < 5
    assert outage(error, reached=True, limits=Limits(), seconds=500) == (None, "")


def test_a_connection_that_breaks_is_retried_as_before():
    error = APIConnectionError("the connection broke")
    waited, _ = outage(error, reached=True, limits=Limits(), seconds=500)
    assert waited < 5


def test_the_waiting_does_not_count_against_the_total_timeout():
    limits, timeout = Limits(), Timeouts(total=5)
    assert outage(REFUSED, reached=True, limits=limits, seconds=300, timeout=timeout) == (None, "")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that does not sleep: its time jumps to the next timer."""

    def __init__(self):
        self._virtual = 0.0
        selector = selectors.SelectSelector()
        super().__init__(selector)
        select = selector.select

        def jump(timeout=None):
            self._virtual += timeout or 0.0
            return select(0)

        selector.select = jump

    def time(self):
        return self._virtual


def job(limits, arrivals, *, down_until, base_url=BASE):
    """Return when each row ended, and its text or error; the server is down until a time.

    Rows arrive at the times `arrivals`, in a process that starts at 0.
    """

    async def run():
        loop = asyncio.get_running_loop()

        def send(request):
            if loop.time() < down_until:
                raise httpx.ConnectError("refused")
            return httpx.Response(200, json=WHOLE)

        async def row(client, arrival):
            await asyncio.sleep(arrival)
            params = {"api_key": "k", "base_url": base_url, "num_retries": 5}
            try:
                answer = await client.completion("openai/m", MESSAGES, **params)
            except RitellmError as error:
                return loop.time(), str(error)
            return loop.time(), answer.choices[0].message.content

        transport = httpx.MockTransport(send)
        async with AsyncClient(transport=transport, gate=Gate(limits)) as client:
            return await asyncio.gather(*(row(client, arrival) for arrival in arrivals))

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def test_rows_of_a_process_that_starts_in_an_outage_get_their_answers_after_it(caplog):
    rows = job(Limits(give_up_after=600), [0.0] * 100 + [30.0] * 50, down_until=90, base_url=DOWN)
    assert [text for _, text in rows] == ["Hi"] * 150
    assert max(ended for ended, _ in rows) < 90 + 60
    assert [record.getMessage() for record in caplog.records if record.name == "ritellm"] == [
        f"openai/m: cannot connect to {DOWN}: refused; requests wait for the server, for at most"
        " 600 s"
    ]


def test_the_time_to_give_up_counts_from_the_beginning_of_the_outage():
    rows = job(Limits(give_up_after=60), [0.0] * 20 + [30.0] * 20 + [59.0], down_until=1e9)
    assert all(60 <= ended < 75 for ended, _ in rows), rows
    assert all("gave up" in text for _, text in rows)


def test_rows_that_arrive_after_the_job_gave_up_fail_at_once_and_one_probes_the_server():
    arrivals = [0.0, 70.0, *(200.0 + n for n in range(60))]
    rows = job(Limits(give_up_after=60), arrivals, down_until=230)
    assert [text for _, text in rows[-5:]] == ["Hi"] * 5
    assert "gave up" in rows[1][1]
    assert rows[1][0] < 71


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


CAUSES = {
    "refused": (ConnectionRefusedError(111, "refused"), "cannot_connect"),
    "unknown name": (socket.gaierror(socket.EAI_NONAME, "unknown"), "unknown_host"),
    "lookup failed": (socket.gaierror(socket.EAI_AGAIN, "try again"), "cannot_connect"),
    "certificate": (ssl.SSLCertVerificationError(1, "expired"), "no_tls"),
    "no TLS": (ssl.SSLError(1, "wrong version number"), "no_tls"),
    "closed in the handshake": (ssl.SSLEOFError(8, "EOF"), "cannot_connect"),
}


@pytest.mark.parametrize(("cause", "code"), CAUSES.values(), ids=CAUSES)
def test_the_code_of_an_error_says_which_step_of_connecting_failed(cause, code):
    def send(request):
        raise httpx.ConnectError("failed") from cause

    with (
        Client(transport=httpx.MockTransport(send), num_retries=0) as client,
        pytest.raises(APIConnectionError) as raised,
    ):
        client.completion("openai/m", MESSAGES, api_key="k", base_url=BASE)
    assert raised.value.code == code
