"""Servers that answer early, flood a connection, or are read late: what arrived counts."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest
from faces import BOTH, FACES, KEY, MESSAGES, MODEL, Async, closing, content
from fake_server import chat_events
from raw_server import BODY, SSE_HEAD, RawServer

from ritellm import AsyncClient, RetryPolicy, RitellmError, Timeouts

ONCE = RetryPolicy(num_retries=0)
CHUNKED = SSE_HEAD + b"transfer-encoding: chunked\r\n\r\n"
ASYNC = pytest.mark.parametrize(
    "make_face", [made for made in FACES.values() if issubclass(made, Async)]
)
SYNC = pytest.mark.parametrize(
    "make_face", [made for made in FACES.values() if not issubclass(made, Async)]
)


def made_for(make_face, server, **arguments):
    return closing(make_face(base_url=server.base_url, api_key=KEY, retry=ONCE, **arguments))


def failed(face, **arguments):
    """Return the error of a call."""
    with pytest.raises(RitellmError) as caught:
        face.ask(**arguments)
    return caught.value


def http_chunk(data, extension=b""):
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


# An early answer

REFUSAL = b'{"error": {"message": "too much for me", "type": "invalid_request_error"}}'
TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL)
)


@BOTH
@pytest.mark.parametrize("stays", [False, True], ids=["closes", "stays open"])
def test_a_refusal_during_a_large_request_is_read(make_face, stays):
    over = threading.Event()

    def refuse(peer):
        peer.head()
        peer.send(TOO_LARGE)
        if stays:  # and reads no more
            over.wait(20)

    with RawServer(refuse) as server, made_for(make_face, server) as face:
        error = failed(face, extra_body={"large": "x" * 16_000_000}, timeout=Timeouts(connect=5))
        over.set()
    assert "too much for me" in str(error)
    assert error.status_code == 413


# Floods


@BOTH
@pytest.mark.parametrize("extension", [b";" + b"x" * 60_000, b";a=b" * 5000])
def test_a_flood_of_extensions_does_not_outlast_the_total_timeout(make_face, extension):
    def flood(peer):
        peer.reply(CHUNKED)
        while True:
            peer.send(http_chunk(b":", extension))

    with RawServer(flood) as server, made_for(make_face, server) as face:
        error = failed(face, timeout=Timeouts(total=0.3))
    assert error.code in ("total_timeout", "too_large")


@BOTH
def test_an_extension_without_an_end_is_an_error(make_face):
    def flood(peer):
        peer.reply(CHUNKED + b"1;")
        while True:
            peer.send(b"x" * 10_000)

    with RawServer(flood) as server, made_for(make_face, server) as face:
        assert failed(face, timeout=Timeouts(total=10)).code != "total_timeout"


@BOTH
def test_a_flood_of_trailers_neither_delays_nor_changes_a_whole_answer(make_face):
    def flood(peer):
        peer.reply(CHUNKED + http_chunk(BODY) + b"0\r\n")
        while True:
            peer.send(b"x-trailer: " + b"x" * 1000 + b"\r\n")

    with RawServer(flood) as server, made_for(make_face, server) as face:
        for _ in range(2):
            assert content(face.stream().read()) == "one two"
    assert server.connections == 2


def test_other_streams_go_on_beside_a_flood():
    flooded = threading.Event()

    def flood(peer):
        peer.reply(CHUNKED)
        for _ in range(50):
            peer.send(http_chunk(b":", b";" + b"x" * 60_000))
        flooded.set()
        while True:
            peer.send(http_chunk(b":", b";" + b"x" * 60_000))

    def quiet(peer):
        peer.request()
        flooded.wait(20)
        peer.send(CHUNKED + http_chunk(BODY) + b"0\r\n\r\n")

    async def ask(flooder, server):
        async with AsyncClient(api_key=KEY, retry=ONCE) as client:
            noise = asyncio.ensure_future(
                client.completion(MODEL, MESSAGES, base_url=flooder.base_url)
            )
            await asyncio.sleep(0)
            found = await client.completion(MODEL, MESSAGES, base_url=server.base_url, timeout=20)
            noise.cancel()
            await asyncio.wait([noise])
            return content(found)

    with RawServer(flood) as flooder, RawServer(quiet) as server:
        assert asyncio.run(ask(flooder, server)) == "one two"


# Late readers

FIRST, REST = chat_events("one two")[:2], chat_events("one two")[2:]


def in_two_parts(go, gone):
    def serve(peer):
        peer.reply(CHUNKED + http_chunk(b"".join(FIRST)))
        go.wait(20)
        peer.send(http_chunk(b"".join(REST)), b"0\r\n\r\n")
        gone.set()

    return serve


@ASYNC
def test_what_arrived_while_the_event_loop_was_busy_is_read(make_face):
    go, gone = threading.Event(), threading.Event()

    def busy(until):
        go.set()
        gone.wait()
        while time.monotonic() < until:
            pass

    async def ask(client, server):
        stream = await client.completion(
            MODEL, MESSAGES, stream=True, timeout=Timeouts(inter_chunk=0.05)
        )
        for _ in range(2):
            await stream.__anext__()
        loop = asyncio.get_running_loop()
        loop.call_soon(busy, time.monotonic() + 0.1)
        return content(await stream.read())

    with RawServer(in_two_parts(go, gone)) as server, made_for(make_face, server) as face:
        assert face.run(ask(face.client, server)) == "one two"


@SYNC
def test_what_arrived_while_the_process_was_held_up_is_read(make_face):
    go, gone = threading.Event(), threading.Event()

    def hold(*_):
        go.set()
        gone.wait()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass

    with RawServer(in_two_parts(go, gone)) as server, made_for(make_face, server) as face:
        stream = face.stream(timeout=Timeouts(inter_chunk=0.1))
        next(stream), next(stream)
        before = signal.signal(signal.SIGALRM, hold)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            assert content(stream.read()) == "one two"
        finally:
            signal.signal(signal.SIGALRM, before)
