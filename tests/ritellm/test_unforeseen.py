"""Only errors of this library leave a call, and what a mock raises on purpose."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from ritellm import AsyncClient, Client
from ritellm.errors import APIError, APIResponseValidationError, RitellmError

MESSAGES = [{"role": "user", "content": "hi"}]
KEY = "sk-0123456789abcdef"


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that raises `error` after its first bytes."""

    def __init__(self, error):
        self.error = error

    def __iter__(self):
        yield b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
        raise self.error

    async def __aiter__(self):
        for piece in self:
            yield piece


class Sync:
    def __call__(self, transport, **params):
        with Client(transport=transport, api_key=KEY, num_retries=0) as client:
            return list(client.completion("openai/m", MESSAGES, stream=True, **params))


class Async:
    def __call__(self, transport, **params):
        async def chunks():
            async with AsyncClient(transport=transport, api_key=KEY, num_retries=0) as client:
                stream = await client.completion("openai/m", MESSAGES, stream=True, **params)
                return [chunk async for chunk in stream]

        return asyncio.run(chunks())


@pytest.fixture(params=[Sync(), Async()], ids=["sync", "async"])
def call(request):
    return request.param


def raising(error):
    """A transport that raises `error` when it sends."""

    def send(request):
        raise error

    return httpx.MockTransport(send)


def breaking(error):
    """A transport whose response raises `error` while it is read."""
    headers = {"content-type": "text/event-stream"}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=Body(error)))


@pytest.mark.parametrize(
    "error", [KeyError("odd"), RecursionError(), OverflowError(), AssertionError("odd")]
)
def test_an_unforeseen_exception_while_sending_becomes_an_error_of_the_library(call, error):
    with pytest.raises(APIError, match="the request cannot be sent") as caught:
        call(raising(error))
    assert caught.value.__cause__ is error
    assert not caught.value.retryable
    assert (caught.value.provider, caught.value.attempts) == ("openai", 1)


@pytest.mark.parametrize("error", [KeyError("odd"), RecursionError(), TypeError("odd")])
def test_an_unforeseen_exception_while_reading_becomes_an_error_of_the_library(call, error):
    with pytest.raises(APIResponseValidationError, match="the response cannot be read") as caught:
        call(breaking(error))
    assert caught.value.__cause__ is error
    assert not caught.value.retryable


def test_the_error_for_an_unforeseen_exception_shows_no_key(call):
    with pytest.raises(APIError) as caught:
        call(raising(KeyError(f"Bearer {KEY}")))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("error", [KeyError("boom"), RecursionError(), MemoryError()])
def test_an_exception_given_as_a_mock_comes_through_as_itself(call, error):
    with pytest.raises(type(error)) as caught:
        call(None, mock_response=error)
    assert caught.value is error


def test_an_interruption_comes_through_as_itself(call):
    with pytest.raises(KeyboardInterrupt):
        call(raising(KeyboardInterrupt()))


@pytest.mark.parametrize(
    "address",
    [
        "http://foo..bar",
        f"http://{'a' * 64}.example",
        "http://.",
        "http://xn--",
        "http://xn--.example",
        "http://xn--a-ecp.ru",
        "http://xn--zzzzzzzzzzzzzzzzzzzz99999",
        "http://127.0.0.1:1/\udc80",
    ],
)
@pytest.mark.parametrize("transport", [None, "httpx"])
def test_an_odd_address_is_an_error_of_the_library(call, address, transport):
    kind = httpx.HTTPTransport if isinstance(call, Sync) else httpx.AsyncHTTPTransport
    with pytest.raises(RitellmError):
        call(kind() if transport else None, base_url=address)
