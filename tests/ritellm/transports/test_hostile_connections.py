"""Connections that a server closes, breaks or misuses: every call ends, with its own answer."""

from __future__ import annotations

import asyncio
import threading

import pytest
from faces import BOTH, KEY, MESSAGES, MODEL, closing, content
from raw_server import BODY, SSE_HEAD, RawServer, answer

from ritellm import APIConnectionError, AsyncClient, RetryPolicy, RitellmError
from ritellm.transports.httpx_watch import Watch

ONCE = RetryPolicy(num_retries=0)


def made_for(make_face, server, **arguments):
    return closing(make_face(base_url=server.base_url, api_key=KEY, retry=ONCE, **arguments))


def failed(face, **arguments):
    """Return the error of a call."""
    with pytest.raises(RitellmError) as caught:
        face.ask(**arguments)
    return caught.value


# A server that closes


def close_at_once(peer):
    peer.close()


@BOTH
def test_a_server_that_closes_at_once_is_an_error_at_once(make_face):
    with RawServer(close_at_once) as server, made_for(make_face, server) as face:
        errors = [failed(face, timeout=5) for _ in range(20)]
    assert {type(error) for error in errors} == {APIConnectionError}


def test_many_calls_to_a_server_that_closes_at_once_all_end():
    async def ask(server):
        async with AsyncClient(base_url=server.base_url, api_key=KEY, retry=ONCE) as client:
            asking = [client.completion(MODEL, MESSAGES) for _ in range(64)]
            return await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 30)

    with RawServer(close_at_once) as server:
        errors = asyncio.run(ask(server))
    assert {type(error) for error in errors} == {APIConnectionError}


def close_after_the_first(peer):
    peer.reply(answer("first"))
    peer.request()  # takes the next request, and closes instead of a response


def reset_after_the_first(peer):
    peer.reply(answer("first"))
    peer.request()
    peer.reset()


@BOTH
@pytest.mark.parametrize("leave", [close_after_the_first, reset_after_the_first])
def test_a_kept_connection_that_dies_before_a_response_costs_no_attempt(make_face, leave):
    fresh = lambda peer: peer.reply(answer("second"))  # noqa: E731
    with RawServer(leave, fresh) as server, made_for(make_face, server) as face:
        assert content(face.ask()) == "first"
        stream = face.stream()
        assert content(stream.read()) == "second"
    assert stream.timing.retries == 0
    assert server.connections == 2


@BOTH
def test_a_fresh_connection_that_dies_is_an_error(make_face):
    with RawServer(lambda peer: peer.request()) as server, made_for(make_face, server) as face:
        assert type(failed(face)) is APIConnectionError
    assert server.connections == 1


@BOTH
def test_a_kept_connection_that_dies_after_a_byte_is_an_error(make_face):
    def half(peer):
        peer.reply(answer("first"))
        peer.reply(b"HTTP/1.1 2")

    with RawServer(half) as server, made_for(make_face, server) as face:
        assert content(face.ask()) == "first"
        assert type(failed(face)) is APIConnectionError
    assert server.connections == 1


# Bytes that belong to no request

FIRST, POISON = answer("first"), answer("POISON")
EMPTY = b"HTTP/1.1 %b\r\ncontent-type: text/event-stream\r\n%b\r\n"

# What follows a whole answer, in the same segment.
BEHIND = {
    "a response": POISON,
    "an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "an interim response and a response": b"HTTP/1.1 100 Continue\r\n\r\n" + POISON,
    "a half response": POISON[:30],
    "two letters": b"HT",
    "text": b"POISON",
    "an event": b'data: {"choices":[{"index":0,"delta":{"content":"POISON"}}]}\n\n',
    "a chunk": b"6\r\nPOISON\r\n0\r\n\r\n",
    "a NUL": b"\0",
}


def serving(first):
    """Return the script of a connection that sends `first`, and then answers in earnest."""

    def serve(peer):
        peer.reply(first)
        while True:
            peer.reply(answer("second"))

    return serve


def second(peer):
    while True:
        peer.reply(answer("second"))


@BOTH
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_bytes_after_a_response_neither_change_it_nor_answer_the_next(make_face, behind):
    with RawServer(serving(FIRST + behind), second) as server, made_for(make_face, server) as face:
        assert content(face.stream().read()) == "first"
        assert content(face.stream().read()) == "second"
    assert server.connections == 2


@BOTH
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_bytes_after_the_last_chunk_end_the_use_of_a_connection(make_face, behind):
    chunked = SSE_HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    first = chunked % (len(BODY), BODY) + behind
    with RawServer(serving(first), second) as server, made_for(make_face, server) as face:
        assert content(face.stream().read()) == "one two"
        assert content(face.stream().read()) == "second"
    assert server.connections == 2


@BOTH
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("behind", [b"POISON", POISON, b"%x\r\n%b\r\n0\r\n\r\n" % (6, b"POISON")])
def test_a_body_where_none_may_be_does_not_answer_the_next_request(make_face, status, behind):
    first = EMPTY % (status, b"content-length: %d\r\n" % len(behind)) + behind
    with RawServer(serving(first), second) as server, made_for(make_face, server) as face:
        assert "POISON" not in str(failed(face))
        assert content(face.ask()) == "second"
    assert server.connections == 2


@BOTH
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_bytes_that_come_before_a_request_do_not_answer_it(make_face, behind):
    """The event loop has had no time to read them."""
    asked, sent = threading.Event(), threading.Event()

    def serve(peer):
        peer.reply(FIRST)
        asked.wait()
        peer.send(behind)
        sent.set()
        second(peer)

    with RawServer(serve, second) as server, made_for(make_face, server) as face:
        assert content(face.ask()) == "first"
        asked.set()
        sent.wait()
        assert content(face.ask()) == "second"
    assert server.connections == 2


SIZE = b"%d" % len(BODY)
AS_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH, CHUNKS = b"content-length: " + SIZE + b"\r\n", b"transfer-encoding: chunked\r\n"
# Heads that two readers may understand in two ways, each with the body of one of them.
AMBIGUOUS = {
    "chunks and a length": (CHUNKS + b"content-length: 5\r\n\r\n", AS_CHUNKS),
    "a length and chunks": (LENGTH + CHUNKS + b"\r\n", AS_CHUNKS),
    "two lengths": (LENGTH + b"content-length: 5\r\n\r\n", BODY),
    "the same length twice": (LENGTH + LENGTH + b"\r\n", BODY),
    "a list of lengths": (b"content-length: " + SIZE + b", " + SIZE + b"\r\n\r\n", BODY),
    "a signed length": (b"content-length: +" + SIZE + b"\r\n\r\n", BODY),
    "a folded line": (b"x-note: a\r\n b\r\n" + LENGTH + b"\r\n", BODY),
    "a folded length": (b"content-length:\r\n " + SIZE + b"\r\n\r\n", BODY),
    "a folded coding": (b"transfer-encoding:\r\n\tchunked\r\n\r\n", AS_CHUNKS),
    "lines that end in LF": (LENGTH.replace(b"\r", b"") + b"\n", BODY),
    "one line that ends in LF": (b"x-note: a\n" + LENGTH + b"\r\n", BODY),
    "a head that ends in LF": (LENGTH + b"\n", BODY),
    "a blank before the colon": (LENGTH.replace(b":", b" :") + b"\r\n", BODY),
    "another coding": (b"transfer-encoding: gzip, chunked\r\n\r\n", AS_CHUNKS),
    "a coding twice": (CHUNKS + CHUNKS + b"\r\n", AS_CHUNKS),
}


@BOTH
@pytest.mark.parametrize(("lines", "body"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_response_is_an_error_or_the_last_one_of_its_connection(
    make_face, lines, body
):
    first = SSE_HEAD + lines + body
    with RawServer(serving(first), second) as server, made_for(make_face, server) as face:
        try:
            assert content(face.ask()) == "one two"
        except APIConnectionError:
            pass
        assert content(face.ask()) == "second"
    assert server.connections == 2


@BOTH
@pytest.mark.parametrize(
    "interim", [b"100 Continue", b"102 Processing", b"103 Early Hints\r\na: b"]
)
def test_interim_responses_before_a_response_are_skipped(make_face, interim):
    first = (b"HTTP/1.1 %b\r\n\r\n" % interim) * 3 + FIRST
    with RawServer(serving(first)) as server, made_for(make_face, server) as face:
        assert content(face.ask()) == "first"
        assert content(face.ask()) == "second"
    assert server.connections == 1


@BOTH
def test_a_head_without_an_end_is_an_error_that_names_the_limit(make_face):
    def endless(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            peer.send(b"x-note: " + b"a" * 1000 + b"\r\n")

    with RawServer(endless) as server, made_for(make_face, server) as face:
        error = failed(face)
    assert "the head of a response must have at most 96 KiB" in str(error)
    assert not error.retryable


@BOTH
def test_cookies_of_one_response_are_not_sent_with_the_next_request(make_face):
    seen = []

    def serve(peer):
        while True:
            seen.append(peer.request())
            peer.send(answer("first", b"set-cookie: session=ours; path=/"))

    with RawServer(serve) as server, made_for(make_face, server) as face:
        face.ask()
        face.ask()
    assert len(seen) == 2
    assert not any(b"session" in request for request in seen)


def test_a_connection_of_http2_is_not_read_as_http1():
    """A caller's own transport may use HTTP/2, whose frames are no lines."""
    watch = Watch()
    for _ in range(2):
        watch.sending(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert watch.received(b"\0\n\n" * 100_000)
    watch.sending(b"a frame")
    assert watch.received(b"") == b""
    assert watch.is_plain
