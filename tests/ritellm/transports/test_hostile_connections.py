"""Connections that a server closes, breaks or misuses: every call ends, with its own answer."""

from __future__ import annotations

import asyncio

import pytest
from faces import BOTH, FACES, KEY, MESSAGES, MODEL, closing, content
from raw_server import RawServer, answer

from ritellm import APIConnectionError, AsyncClient, RetryPolicy, RitellmError

ONCE = RetryPolicy(num_retries=0)
FAST = pytest.mark.parametrize(
    "make_face", [made for name, made in FACES.items() if "fast" in name], ids=lambda f: f.__name__
)


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


@FAST
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
