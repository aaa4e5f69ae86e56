"""Refusals, broken bodies and network failures, and the errors that both faces raise."""

from __future__ import annotations

import pickle
import socket
import threading
import traceback

import httpx
import pytest
from faces import (
    AT_ONCE,
    BOTH,
    KEY,
    answered,
    closing,
    content,
    text,
)
from fake_server import (
    Close,
    End,
    Reset,
    api_error,
    chat_events,
    error_event,
    html_page,
    raw,
    stream,
)

from ritellm.errors import (
    APIConnectionError,
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    RitellmError,
    StreamTruncatedError,
    Timeout,
)
from ritellm.types import Timeouts


def unused_address():
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        return f"http://127.0.0.1:{tcp.getsockname()[1]}/v1"


@BOTH
@pytest.mark.parametrize("streamed", [True, False])
def test_a_refused_connection_names_the_address(make_face, streamed):
    address = unused_address()
    made = make_face(base_url=address, api_key=KEY, retry=AT_ONCE)
    with closing(made), pytest.raises(APIConnectionError, match="cannot connect to") as caught:
        made.ask(stream=streamed)
    error = caught.value
    assert address in str(error)
    assert error.retryable
    assert error.attempts == 3
    assert error.partial is None
    assert (error.provider, error.model) == ("openai", "fake-model")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("cut", "framing", "cls"),
    [
        (Reset(), "chunked", APIConnectionError),
        (Reset(), "length", APIConnectionError),
        (Reset(), "close", APIConnectionError),
        (Close(), "chunked", APIConnectionError),
        (Close(), "length", APIConnectionError),
        (Close(), "close", StreamTruncatedError),  # a clean end, as far as HTTP can tell
        (End(), "chunked", StreamTruncatedError),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_truncated_stream_is_an_error_with_the_partial_completion(
    face, fake_server, cut, framing, cls, count, streamed
):
    events = chat_events("one two")
    rest = events[count:] if framing == "length" else []  # never sent, but announced
    fake_server.script = lambda request: stream(*events[:count], cut, *rest, framing=framing)
    with pytest.raises(cls) as caught:
        answered(face, streamed)
    error = caught.value
    assert type(error) is cls
    assert error.retryable
    assert content(error.partial) == ("", "one two")[count == 3]
    # Delivered chunks are not asked for again; where none was, the whole is asked again.
    assert len(fake_server.requests) == error.attempts == (1 if streamed else 3)
    face.settle()
    fake_server.wait_until(lambda: fake_server.open_streams == 0)


@pytest.mark.parametrize("cut", [Reset(), Close()])
@pytest.mark.parametrize("count", [4, 5, 6])  # the finish, the usage, the terminator
def test_a_cut_after_the_answer_is_ignored(face, fake_server, cut, count):
    fake_server.enqueue(stream(*chat_events("one two")[:count], cut))
    completion = face.stream().read()
    assert content(completion) == "one two"
    assert (completion.usage is None) is (count == 4)
    assert content(face.ask()) == "one two three"


def test_chunks_before_a_cut_are_delivered_before_its_error(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Reset()))
    opened = face.stream()
    assert text([next(opened) for _ in range(3)]) == "one two"
    with pytest.raises(APIConnectionError) as caught:
        next(opened)
    assert content(caught.value.partial) == content(opened.completion) == "one two"
    assert next(opened, "over") == "over"


BROKEN = {
    "HTML": (html_page(), APIResponseValidationError),
    "broken JSON": (stream(b"data: {broken\n\n"), APIResponseValidationError),
    "an error event": (stream(error_event("invalid_request_error")), BadRequestError),
    "an error in JSON": (api_error(200, "invalid_request_error"), BadRequestError),
    "broken gzip": (
        raw(b"no gzip", "text/event-stream", headers={"content-encoding": "gzip"}),
        APIConnectionError,
    ),
    "no HTTP": (None, APIConnectionError),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("reply", "cls"), BROKEN.values(), ids=BROKEN)
def test_a_broken_response_is_an_error(face, fake_server, reply, cls, streamed):
    base_url = fake_server.base_url
    if reply is None:
        ear = socket.create_server(("127.0.0.1", 0))

        def babble():
            tcp, _ = ear.accept()
            with tcp:
                tcp.recv(1)
                tcp.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        base_url = f"http://127.0.0.1:{ear.getsockname()[1]}/v1"
    else:
        fake_server.enqueue(reply)
    with pytest.raises(cls) as caught:
        answered(face, streamed, base_url=base_url, num_retries=0)
    assert type(caught.value) is cls
    assert caught.value.partial is None
    if reply is None:
        thread.join()
        ear.close()


def test_a_refusal_of_a_stream_is_raised_where_it_is_opened(face, fake_server):
    fake_server.enqueue(api_error(401, code="invalid_api_key", message=f"bad key {KEY}"))
    with pytest.raises(AuthenticationError) as caught:
        face.stream()
    error = caught.value
    assert str(error) == "openai/fake-model: bad key [key]"
    assert (error.status_code, error.code, error.attempts) == (401, "invalid_api_key", 1)
    assert pickle.loads(pickle.dumps(error)).message == error.message
    assert KEY not in "".join(traceback.format_exception(error))


def test_no_error_of_the_http_library_reaches_the_caller(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Reset()))
    with pytest.raises(APIConnectionError) as caught:
        face.stream().read()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


RAISED = {
    httpx.ConnectTimeout: (Timeout, "the connect timeout of 7 s"),
    httpx.PoolTimeout: (Timeout, "the connect timeout of 7 s"),
    httpx.WriteTimeout: (Timeout, "could not be sent"),
    httpx.ReadTimeout: (Timeout, "the first_chunk timeout"),
    httpx.ConnectError: (APIConnectionError, "cannot connect to http://127.0.0.1"),
    httpx.ReadError: (APIConnectionError, "broke"),
    httpx.WriteError: (APIConnectionError, "broke"),
    httpx.RemoteProtocolError: (APIConnectionError, "broke"),
    httpx.ProxyError: (APIConnectionError, "broke"),
}


@BOTH
@pytest.mark.parametrize(
    ("raised", "expected"), RAISED.items(), ids=lambda x: getattr(x, "__name__", "")
)
def test_every_network_failure_is_this_librarys_error(make_face, raised, expected):
    seen = []

    def fail(request):
        seen.append(request.extensions["timeout"])
        raise raised("")

    cls, says = expected
    made = make_face(
        transport=httpx.MockTransport(fail), base_url="http://127.0.0.1/v1", api_key=KEY,
        retry=AT_ONCE, timeout=Timeouts(connect=7),
    )  # fmt: skip
    with closing(made), pytest.raises(cls, match=says) as caught:
        made.ask()
    assert type(caught.value) is cls
    assert len(seen) == caught.value.attempts == 3
    assert [limit["connect"] for limit in seen] == [pytest.approx(7)] * 3


@BOTH
@pytest.mark.parametrize(
    "address", ["http://", "http:///v1", "https://[::1", "http://127.0.0.1:x/"]
)
def test_an_invalid_address_is_not_retried(make_face, address):
    made = make_face(base_url=address, api_key=KEY, retry=AT_ONCE)
    with closing(made), pytest.raises(RitellmError, match="base_url must") as caught:
        made.ask()
    assert not caught.value.retryable


@BOTH
@pytest.mark.parametrize("raised", [httpx.UnsupportedProtocol, httpx.InvalidURL])
def test_an_address_that_the_http_library_rejects_is_not_retried(make_face, raised):
    def fail(request):
        raise raised("no")

    transport = httpx.MockTransport(fail)
    made = make_face(transport=transport, base_url="http://x/v1", api_key=KEY, retry=AT_ONCE)
    with closing(made), pytest.raises(APIConnectionError, match="invalid address") as caught:
        made.ask()
    assert caught.value.attempts == 1
