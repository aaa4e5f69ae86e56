"""Both faces over loopback: what a caller may rely on, whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import SimpleNamespace
from unittest import mock

import certifi
import httpx
import pytest
from fake_server import (
    SPRINKLES,
    Close,
    End,
    Head,
    Pause,
    Reply,
    Reset,
    Send,
    Stall,
    ToolCall,
    Wait,
    api_error,
    chat_chunk,
    chat_events,
    chat_json,
    chat_stream,
    error_event,
    html_page,
    raw,
    sse,
    sse_error,
    stream,
)

import ritellm
from ritellm import api
from ritellm.calls.call import Call
from ritellm.calls.prepare import plan
from ritellm.chunks import stream_chunk_builder
from ritellm.client import Client, Stream
from ritellm.client_async import AsyncClient, AsyncStream
from ritellm.errors import (
    APIConnectionError,
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    RateLimitError,
    RitellmError,
    ServiceUnavailableError,
    StreamTruncatedError,
    Timeout,
)
from ritellm.retry import RetryPolicy
from ritellm.transports.watchdog import Watchdog
from ritellm.types import Chunk, Completion, Timeouts

MODEL = "openai/fake-model"
MESSAGES = [{"role": "user", "content": "one two three"}]
KEY = "sk-proj-0123456789abcdef"
AT_ONCE = RetryPolicy(first_delay=0.0)

# The two faces, as one


class Sync:
    """The synchronous face, on httpx: where there are rules for proxies, that is what it takes."""

    def __init__(self, **defaults):
        with mock.patch.dict(os.environ, no_proxy="*"):
            self.client = Client(**defaults)

    def ask(self, **arguments):
        return self.client.completion(MODEL, MESSAGES, **arguments)

    def stream(self, **arguments):
        return self.client.completion(MODEL, MESSAGES, stream=True, **arguments)

    def unwatched(self, **arguments):
        plan = self.client.draft(MODEL, stream=True, **arguments).plan(MESSAGES)
        return self.client.open(plan, emit_chunks=False)

    def settle(self):
        """Let what was begun in the background happen; here there is none."""

    def pause(self, seconds):
        time.sleep(seconds)

    def close(self):
        self.client.close()


class SyncFast(Sync):
    """The synchronous face on what it takes by itself: the extra `fast`, if that is installed."""

    def __init__(self, **defaults):
        self.client = Client(**defaults)


class Async:
    """The asynchronous face, one step of its event loop at a time, on httpx's own transport."""

    def __init__(self, **defaults):
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(**{"transport": httpx.AsyncHTTPTransport()} | defaults)

    def run(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def ask(self, **arguments):
        return self.run(self.client.completion(MODEL, MESSAGES, **arguments))

    def stream(self, **arguments):
        opening = self.client.completion(MODEL, MESSAGES, stream=True, **arguments)
        return Stepped(self.loop, self.run(opening))

    def unwatched(self, **arguments):
        plan = self.client.draft(MODEL, stream=True, **arguments).plan(MESSAGES)
        return Stepped(self.loop, self.run(self.client.open(plan, emit_chunks=False)))

    def settle(self):
        for _ in range(5):
            self.run(asyncio.sleep(0))

    def pause(self, seconds):
        self.run(asyncio.sleep(seconds))

    def close(self):
        self.run(self.client.close())
        self.run(self.loop.shutdown_asyncgens())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


class AsyncFast(Async):
    """The asynchronous face on what it takes by itself: the extra `fast`, if that is installed."""

    def __init__(self, **defaults):
        super().__init__(**{"transport": None} | defaults)


class Stepped:
    """An asynchronous stream that looks like a synchronous one."""

    def __init__(self, loop, opened):
        self._loop, self._stream = loop, opened

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._loop.run_until_complete(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self):
        self._loop.run_until_complete(self._stream.__aenter__())
        return self

    def __exit__(self, *error):
        self._loop.run_until_complete(self._stream.__aexit__(*error))

    def read(self):
        return self._loop.run_until_complete(self._stream.read())

    def close(self):
        self._loop.run_until_complete(self._stream.aclose())

    def __getattr__(self, name):
        return getattr(self._stream, name)


FACES = {"sync": Sync, "async": Async}
if find_spec("httptools"):
    FACES |= {"sync-fast": SyncFast, "async-fast": AsyncFast}
BOTH = pytest.mark.parametrize("make_face", FACES.values(), ids=FACES)


@pytest.fixture(autouse=True)
def _one_root_certificate(monkeypatch, tmp_path_factory):
    """Reading all of them takes 30 ms for each client, and loopback needs none."""
    one = tmp_path_factory.getbasetemp() / "one.pem"
    if not one.exists():
        end = "-----END CERTIFICATE-----\n"
        with open(certifi.where()) as everyone:
            one.write_text(everyone.read().partition(end)[0] + end)
    monkeypatch.setenv("SSL_CERT_FILE", str(one))


@pytest.fixture(params=FACES.values(), ids=FACES)
def face(request, fake_server):
    """One of the faces, which asks the fake server and does not wait between attempts."""
    made = request.param(base_url=fake_server.base_url, api_key=KEY, retry=AT_ONCE)
    yield made
    made.close()


@contextlib.contextmanager
def closing(made):
    try:
        yield made
    finally:
        made.close()


def answered(face, streamed, **arguments):
    """Return the whole answer, which was streamed or not."""
    return face.stream(**arguments).read() if streamed else face.ask(**arguments)


def content(completion):
    return completion["choices"][0]["message"]["content"]


def text(chunks):
    return content(stream_chunk_builder(chunks))


def connections(server):
    return [request.connection for request in server.requests]


# The answer


def test_a_whole_answer(face, fake_server):
    completion = face.ask(temperature=0, max_tokens=7)
    assert type(completion) is Completion
    assert completion.choices[0].message.content == "one two three"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 6
    assert completion.usage_source == "provider"
    [request] = fake_server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.json == {
        "model": "fake-model",
        "messages": MESSAGES,
        "temperature": 0,
        "max_tokens": 7,
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "identity"


def test_a_stream_of_chunks(face, fake_server):
    opened = face.stream()
    chunks = list(opened)
    assert all(type(chunk) is Chunk for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "one two three"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert [(chunk.attempt, chunk.seq) for chunk in chunks] == [(1, n) for n in range(len(chunks))]
    assert opened.completion == stream_chunk_builder(chunks)
    assert opened.usage == chunks[-1].usage == {"prompt_tokens": 3, "completion_tokens": 3,
                                                "total_tokens": 6}  # fmt: skip
    assert opened.attempts == 1
    assert fake_server.requests[0].json["stream"] is True
    assert next(opened, "over") == "over"


def test_a_stream_knows_its_times(face):
    opened = face.stream()
    assert (opened.timing.ttft, opened.timing.total) == (None, None)
    list(opened)
    timing = opened.timing
    assert timing.started <= timing.first_chunk <= timing.first_content <= timing.last_chunk
    assert 0 < timing.ttft <= timing.total
    assert set(timing.as_dict()) == {"ttft", "inter_chunk", "total"}


def test_a_head_without_content_is_not_the_first_token(face, fake_server):
    events, go = chat_events("one"), threading.Event()
    fake_server.enqueue(stream(events[0], Wait(go), *events[1:]))
    opened = face.stream()
    next(opened)
    assert opened.timing.first_chunk is not None
    assert opened.timing.ttft is None
    go.set()
    next(opened)
    assert opened.timing.ttft is not None
    opened.close()


def test_chunks_are_delivered_as_they_come(face, fake_server):
    events = chat_events("one two")
    gates = [threading.Event() for _ in events[:5]]
    steps = [
        step for event, gate in zip(events, gates, strict=False) for step in (event, Wait(gate))
    ]
    fake_server.enqueue(stream(*steps, *events[5:]))
    opened = face.stream()
    for gate in gates:
        chunk = next(opened)
        assert chunk.seq == gates.index(gate)
        gate.set()
    assert next(opened, None) is None
    assert content(opened.completion) == "one two"


def test_a_stream_can_be_read_at_once(face):
    with face.stream() as opened:
        assert content(opened.read()) == "one two three"


def test_a_stream_is_open_before_its_first_chunk(face, fake_server):
    go = threading.Event()
    fake_server.enqueue(stream(Head(), Wait(go), *chat_events("one")))
    opened = face.stream()
    assert opened.attempts == 1
    assert opened.completion["choices"] == []
    go.set()
    assert content(opened.read()) == "one"


REPLIES = {
    "a byte at a time": chat_stream("é\N{GRINNING FACE} one").but(pieces_of=1),
    "gzip": chat_stream("é\N{GRINNING FACE} one").but(encoding="gzip"),
    "gzip, a byte at a time": chat_stream("é\N{GRINNING FACE} one").but(
        encoding="gzip", pieces_of=1
    ),
    "CRLF and comments": chat_stream("é\N{GRINNING FACE} one", newline="\r\n", sprinkle=SPRINKLES),
    "lone CR": chat_stream("é\N{GRINNING FACE} one", newline="\r"),
    "content-length": chat_stream("é\N{GRINNING FACE} one").but(framing="length"),
    "ended by closing": chat_stream("é\N{GRINNING FACE} one").but(framing="close"),
    "JSON, not streamed": chat_json("é\N{GRINNING FACE} one"),
    "JSON, gzip": chat_json("é\N{GRINNING FACE} one").but(encoding="gzip", framing="chunked"),
    "without a terminator": chat_stream("é\N{GRINNING FACE} one", done=False),
    "without a finish reason": chat_stream("é\N{GRINNING FACE} one", finish_reason=None),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_the_answer_is_the_same_however_it_is_sent(face, fake_server, reply, streamed):
    fake_server.enqueue(reply)
    completion = answered(face, streamed)
    assert content(completion) == "é\N{GRINNING FACE} one"
    assert completion.usage.completion_tokens == 2
    assert len(fake_server.requests) == 1


def test_tool_calls_choices_and_reasoning_arrive_whole(face, fake_server):
    calls = [ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", "[]")]
    options = {"tool_calls": calls, "reasoning": "hmm", "choices": 2}
    fake_server.enqueue(chat_stream("", **options), chat_json("", **options))
    for completion in (face.stream(n=2).read(), face.ask(n=2)):
        for choice in completion.choices:
            assert choice.message.reasoning_content == "hmm"
            assert [call.id for call in choice.message.tool_calls] == ["a", "b"]
            assert choice.message.tool_calls[0].function.arguments == '{"x": 1}'
            assert choice.finish_reason == "tool_calls"
        assert len(completion.choices) == 2


# Connections


@pytest.mark.parametrize("make_face", [Sync, *[f for n, f in FACES.items() if "fast" in n]])
def test_the_kernel_looks_after_connections_that_are_silent(make_face, fake_server):
    made = make_face(base_url=fake_server.base_url, api_key=KEY)
    port = int(fake_server.base_url.rpartition(":")[2].partition("/")[0])
    made.stream().read()
    ours = [
        each
        for each in gc.get_objects()
        if isinstance(each, socket.socket)
        and each.fileno() >= 0
        and each.family in (socket.AF_INET, socket.AF_INET6)
        and _peer_port(each) == port
    ]
    assert ours
    assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in ours)
    made.close()


def _peer_port(sock):
    try:
        return sock.getpeername()[1]
    except OSError:
        return None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_does_not_talk_on_its_parents_connection(fake_server):
    with Client(base_url=fake_server.base_url, api_key=KEY) as client:
        ask = functools.partial(client.completion, MODEL, MESSAGES)
        ask()
        child = os.fork()
        if child == 0:
            try:
                ask()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        ask()
    assert connections(fake_server) == [1, 2, 1]


def test_a_connection_is_used_again(face, fake_server):
    for _ in range(3):
        face.stream().read()
        face.ask()
    assert connections(fake_server) == [1] * 6


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_refusal_does_not_cost_its_connection(face, fake_server, status):
    fake_server.enqueue(*[api_error(status, headers={"retry-after": "0"}) for _ in range(20)])
    for _ in range(20):
        with pytest.raises(RitellmError):
            face.stream(num_retries=0)
    assert content(face.ask()) == "one two three"
    assert connections(fake_server) == [1] * 21


def test_an_error_inside_a_stream_does_not_cost_the_connection(face, fake_server):
    fake_server.enqueue(sse_error(after=chat_events("one two")[:3], done=True))
    with pytest.raises(InternalServerError):
        face.stream().read()
    face.ask()
    assert connections(fake_server) == [1, 1]


def test_a_server_that_holds_the_socket_open_is_not_waited_for(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one"), Pause(5)))
    assert content(face.stream().read()) == "one"
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    face.ask()
    assert connections(fake_server) == [1, 2]


def test_a_server_that_goes_on_behind_the_terminator_is_not_read_to_its_end(face, fake_server):
    endless = [b": ping\n\n" * 1000] * 2000
    fake_server.enqueue(stream(*chat_events("one"), *endless))
    assert content(face.stream().read()) == "one"
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


LEAVING = {
    "close": lambda opened: opened.close(),
    "close twice": lambda opened: (opened.close(), opened.close()),
    "with": lambda opened: opened.__exit__(None, None, None),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("taken", [0, 1, 2])
def test_leaving_early_closes_the_connection(face, fake_server, leave, taken):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Stall()))
    opened = face.stream()
    for _ in range(taken):
        next(opened)
    leave(opened)
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    assert next(opened, "over") == "over"
    assert content(face.ask()) == "one two three"


def test_a_stream_that_is_dropped_is_closed_before_the_garbage_collector_comes(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Stall()))
    gc.collect()
    gc.disable()
    try:
        for _ in face.stream():
            break
        face.settle()
        fake_server.wait_until(lambda: fake_server.cancelled == 1)
    finally:
        gc.enable()


def test_an_exception_of_the_caller_closes_the_connection(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Stall()))
    opened = face.stream()
    with contextlib.suppress(KeyError), opened:
        next(opened)
        raise KeyError
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_many_streams_at_once_do_not_wait_for_one_another(face, fake_server):
    go = threading.Event()
    events = chat_events("one two")
    fake_server.script = lambda request: stream(events[0], Wait(go), *events[1:])
    opened = [face.stream() for _ in range(30)]
    assert fake_server.open_streams == 30
    go.set()
    assert {content(one.read()) for one in opened} == {"one two"}


@BOTH
def test_closing_the_client_closes_its_connections(make_face, fake_server):
    made = make_face(base_url=fake_server.base_url, api_key=KEY)
    made.ask()
    made.close()
    made = make_face(base_url=fake_server.base_url, api_key=KEY)
    made.ask()
    made.close()
    assert connections(fake_server) == [1, 2]


# What breaks


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
def test_a_stream_that_is_cut_is_an_error_with_what_came(
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
def test_a_cut_behind_the_answer_is_no_error(face, fake_server, cut, count):
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
def test_what_is_no_answer_is_an_error(face, fake_server, reply, cls, streamed):
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


def test_the_http_library_does_not_show_through(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:3], Reset()))
    with pytest.raises(APIConnectionError) as caught:
        face.stream().read()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# Timeouts

SHORT = 0.1
FOREVER = 3600.0
# Longer than anybody waits; but a test that waits for it in vain comes to an end, and fails.
LONG = Pause(5)
PINGS = [step for _ in range(100) for step in (Send(b": ping\n\n"), Pause(0.01))]


def limits(**given):
    everything = {"connect": FOREVER, "first_chunk": FOREVER, "inter_chunk": FOREVER}
    return Timeouts(**(everything | given))


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("first_chunk", [LONG]),
        ("first_chunk", [Head(), LONG]),
        ("first_chunk", PINGS),  # pings are no progress
        ("first_chunk", [Send(b"data: {"), LONG]),
        ("inter_chunk", [*map(Send, chat_events("one two")[:3]), LONG]),
        ("inter_chunk", [*map(Send, chat_events("one two")[:3]), *PINGS]),
        ("total", [*map(Send, chat_events("one two")[:3]), LONG]),
        ("total", [*map(Send, chat_events("one two")[:3]), *PINGS]),
    ],
)
def test_a_stream_without_progress_times_out(face, fake_server, name, steps, streamed):
    tail = chat_events("late", usage=False)
    fake_server.script = lambda request: stream(*steps, *tail)
    with pytest.raises(Timeout) as caught:
        answered(face, streamed, timeout=limits(**{name: SHORT}), num_retries=0)
    error = caught.value
    assert f"the {name} timeout of 0.1 s" in error.message
    assert error.code == f"{name}_timeout"
    assert error.status_code == 408
    assert error.retryable is (name != "total")
    if name != "total":  # which may run out before anything has come
        assert (error.partial is None) is (name == "first_chunk")
    face.settle()
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_pings_are_no_timeout_while_chunks_come(face, fake_server):
    events = chat_events([str(n) for n in range(50)])
    steps = [step for event in events for step in (Send(b": ping\n\n"), Pause(0.01), Send(event))]
    fake_server.enqueue(stream(*steps))
    completion = face.stream(timeout=limits(first_chunk=0.3, inter_chunk=0.3)).read()
    assert content(completion) == "".join(map(str, range(50)))


def test_the_total_holds_though_chunks_keep_coming(face, fake_server):
    events = chat_events([str(n) for n in range(100)])
    fake_server.enqueue(stream(*[step for event in events for step in (Send(event), Pause(0.01))]))
    with pytest.raises(Timeout, match="total"):
        face.stream(timeout=limits(total=SHORT)).read()
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize("taken", [0, 1])
def test_a_slow_caller_is_not_the_providers_delay(face, fake_server, taken):
    events, go = chat_events("one two"), threading.Event()
    fake_server.enqueue(stream(Head(), *events[:taken], Wait(go), *events[taken:]))
    opened = face.stream(timeout=limits(first_chunk=0.2, inter_chunk=0.2), num_retries=0)
    chunks = [next(opened) for _ in range(taken)]
    face.pause(0.25)
    go.set()
    assert text([*chunks, *opened]) == "one two"


def test_a_caller_that_is_at_work_is_left_alone(fake_server):
    """The watchdog cancels a wait for the provider, never what the caller does in between."""
    events, go = chat_events("one two"), threading.Event()
    fake_server.enqueue(stream(Head(), Wait(go), *events))

    async def main():
        async with AsyncClient(base_url=fake_server.base_url, api_key=KEY) as client:
            short = limits(first_chunk=0.2, inter_chunk=0.2)
            opened = await client.completion(MODEL, MESSAGES, stream=True, timeout=short)
            await asyncio.sleep(0.25)
            go.set()
            chunks = []
            async for chunk in opened:
                chunks.append(chunk)
                if len(chunks) == 1:
                    await asyncio.sleep(0.25)
            return text(chunks)

    assert asyncio.run(main()) == "one two"


def test_a_timeout_before_the_first_chunk_is_retried(face, fake_server):
    fake_server.enqueue(stream(Head(), *PINGS))
    opened = face.stream(timeout=limits(first_chunk=SHORT))
    assert content(opened.read()) == "one two three"
    assert opened.attempts == 2


def test_a_whole_answer_has_the_time_of_a_first_chunk(face, fake_server):
    body = chat_json("late").steps[0].data
    late = chat_json("late").but(steps=[Send(body[:50]), LONG], framing="chunked")
    fake_server.enqueue(late)
    with pytest.raises(Timeout, match="first_chunk"):
        face.ask(timeout=limits(first_chunk=SHORT), num_retries=0)


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
def test_every_failure_of_the_network_has_our_name(make_face, raised, expected):
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
    assert {limit["connect"] for limit in seen} == {7}


@BOTH
@pytest.mark.parametrize(
    "address", ["http://", "http:///v1", "https://[::1", "http://127.0.0.1:x/"]
)
def test_what_is_no_address_is_not_asked(make_face, address):
    made = make_face(base_url=address, api_key=KEY, retry=AT_ONCE)
    with closing(made), pytest.raises(RitellmError, match="base_url must") as caught:
        made.ask()
    assert not caught.value.retryable


@BOTH
@pytest.mark.parametrize("raised", [httpx.UnsupportedProtocol, httpx.InvalidURL])
def test_what_the_http_library_finds_to_be_no_address_is_not_asked_again(make_face, raised):
    def fail(request):
        raise raised("no")

    transport = httpx.MockTransport(fail)
    made = make_face(transport=transport, base_url="http://x/v1", api_key=KEY, retry=AT_ONCE)
    with closing(made), pytest.raises(APIConnectionError, match="not an address") as caught:
        made.ask()
    assert caught.value.attempts == 1


# Retries

OK = chat_stream("fine")
AGAIN = {
    "429, retry-after 0": api_error(429, headers={"retry-after": "0"}),
    "429, retry-after-ms": api_error(429, headers={"retry-after-ms": "1"}),
    "408": api_error(408),
    "409": api_error(409),
    "500": api_error(500),
    "502, HTML": html_page(502),
    "503": api_error(503),
    "529": api_error(529, "overloaded_error"),
    "reset before the head": Reply(steps=[Reset()]),
    "closed before the head": Reply(steps=[Close()]),
    "reset after the head": stream(Head(), Reset()),
    "an empty stream": stream(),
    "nothing but [DONE]": stream(sse("[DONE]")),
    "an error event first": sse_error("overloaded_error"),
    "half a first event": stream(chat_events("one")[0][:50], Reset()),
    "an empty JSON body": raw(b"", "application/json"),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("failure", AGAIN.values(), ids=AGAIN)
def test_what_passes_is_tried_again_before_the_first_chunk(face, fake_server, failure, streamed):
    fake_server.enqueue(failure, failure, OK)
    assert content(answered(face, streamed)) == "fine"
    assert len(fake_server.requests) == 3
    assert len({request.body for request in fake_server.requests}) == 1


FINAL = {
    "400": (api_error(400), BadRequestError),
    "401": (api_error(401), AuthenticationError),
    "404": (api_error(404), ritellm.NotFoundError),
    "422": (api_error(422), ritellm.UnprocessableEntityError),
    "no money": (api_error(429, "insufficient_quota", "insufficient_quota"), RateLimitError),
    "wait till tomorrow": (api_error(429, headers={"retry-after": "86400"}), RateLimitError),
    "a bad request in a stream": (sse_error("invalid_request_error"), BadRequestError),
    "HTML": (html_page(), APIResponseValidationError),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("failure", "cls"), FINAL.values(), ids=FINAL)
def test_what_will_not_pass_is_raised_at_once(face, fake_server, failure, cls, streamed):
    fake_server.enqueue(failure)
    with pytest.raises(cls) as caught:
        answered(face, streamed)
    assert type(caught.value) is cls
    assert len(fake_server.requests) == caught.value.attempts == 1


@pytest.mark.parametrize("arguments", [{"num_retries": 0}, {"num_retries": 3}, {"max_retries": 1}])
def test_the_number_of_retries_is_the_callers(face, fake_server, arguments):
    [retries] = arguments.values()
    fake_server.script = lambda request: api_error(503, message=f"no. {len(fake_server.requests)}")
    with pytest.raises(ServiceUnavailableError) as caught:
        face.ask(**arguments)
    assert len(fake_server.requests) == caught.value.attempts == retries + 1
    assert caught.value.message == f"no. {retries + 1}"  # the last word


def test_an_attempt_is_told_from_the_next(face, fake_server):
    fake_server.enqueue(api_error(500), OK)
    opened = face.stream()
    chunks = list(opened)
    assert opened.attempts == 2
    assert [(chunk.attempt, chunk.seq) for chunk in chunks] == [(2, n) for n in range(len(chunks))]


def test_a_delay_that_would_end_after_the_total_is_not_waited(face, fake_server):
    fake_server.enqueue(api_error(429, headers={"retry-after": "3"}))
    with pytest.raises(RateLimitError) as caught:
        face.ask(timeout=limits(total=2.5))
    assert caught.value.retry_after == 3
    assert len(fake_server.requests) == 1


def test_a_wait_that_is_too_long_is_refused_and_named(face, fake_server):
    fake_server.enqueue(api_error(429, headers={"retry-after": "22320"}))
    with pytest.raises(RateLimitError, match="the provider asks to wait 22320 s") as caught:
        face.ask()
    assert caught.value.retry_after == 22320
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize("cut", [Reset(), End(), Send(error_event())])
def test_after_the_first_chunk_nothing_is_asked_again_by_itself(face, fake_server, cut):
    fake_server.enqueue(stream(*chat_events("one two")[:1], cut))
    opened = face.stream()
    with pytest.raises(RitellmError):
        list(opened)
    assert opened.attempts == len(fake_server.requests) == 1


def test_restart_delivers_the_new_attempt_from_its_beginning(face, fake_server):
    events = chat_events("one two")
    fake_server.enqueue(stream(*events[:3], Reset()), stream(*events[:2], error_event()), OK)
    opened = face.stream(on_interrupt="restart")
    chunks = list(opened)
    places = [(chunk.attempt, chunk.seq) for chunk in chunks]
    assert places[:5] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert places[5:] == [(3, n) for n in range(len(places) - 5)]
    assert text(chunks) == content(opened.completion) == "fine"
    assert opened.attempts == 3


def test_restarts_are_counted_as_retries(face, fake_server):
    said = iter(["one two", "three four", "five six"])
    fake_server.script = lambda request: stream(*chat_events(next(said))[:3], Reset())
    got = []
    with pytest.raises(APIConnectionError) as caught:
        got.extend(face.stream(on_interrupt="restart"))
    assert len(fake_server.requests) == 3
    assert content(caught.value.partial) == text(got) == "five six"


def test_a_final_error_is_not_restarted(face, fake_server):
    fake_server.enqueue(sse_error("invalid_request_error", after=chat_events("one two")[:3]))
    with pytest.raises(BadRequestError):
        list(face.stream(on_interrupt="restart"))
    assert len(fake_server.requests) == 1


@BOTH
def test_a_refused_connection_is_tried_again(make_face):
    answers = iter([httpx.ConnectError("refused"), None])

    def answer(request):
        if error := next(answers):
            raise error
        body, kind = b"".join(chat_events("fine")), {"content-type": "text/event-stream"}
        return httpx.Response(200, content=body, headers=kind)

    transport = httpx.MockTransport(answer)
    made = make_face(transport=transport, base_url="http://x/v1", api_key=KEY, retry=AT_ONCE)
    with closing(made):
        assert content(made.ask()) == "fine"
    assert next(answers, "over") == "over"


# What the faces stand on: one call, with a clock that the test winds


def begun(stream=True, on_interrupt="raise", **limits):
    """Return a call that was made at 100 and sent at 101; its response has begun."""
    unlimited = dict.fromkeys(("connect", "first_chunk", "inter_chunk", "total"))
    asked = plan(MODEL, MESSAGES, {}, api_key=KEY, stream=stream, on_interrupt=on_interrupt,
                 timeout=Timeouts(**(unlimited | limits)))  # fmt: skip
    call = Call(asked, 100.0)
    call.start(asked.endpoint, 101.0).receive_response(200, {"content-type": "text/event-stream"})
    return call


@pytest.mark.parametrize(
    ("limits", "first", "between"),
    [
        ({}, None, None),
        ({"connect": 1}, None, None),
        ({"first_chunk": 5}, (106.0, "first_chunk"), None),
        ({"inter_chunk": 5}, None, (116.0, "inter_chunk")),
        ({"first_chunk": 5, "inter_chunk": 2}, (106.0, "first_chunk"), (113.0, "inter_chunk")),
        ({"total": 30}, (130.0, "total"), (130.0, "total")),
        ({"total": 3, "first_chunk": 5, "inter_chunk": 1}, (103.0, "total"), (103.0, "total")),
        ({"total": 13, "first_chunk": 5}, (106.0, "first_chunk"), (113.0, "total")),
    ],
)
def test_patience_ends_with_the_nearest_timeout(limits, first, between):
    call = begun(**limits)
    assert call.deadline == first
    call.receive_data(b": ping\n\n", 105.0)
    assert call.deadline == first
    assert call.receive_data(chat_events("one")[0], 110.0)
    call.excuse(1.0)
    assert call.deadline == between
    call.receive_data(b": ping\n\n", 112.0)
    assert call.deadline == between


def test_the_callers_absence_before_the_first_chunk_is_excused():
    call = begun(first_chunk=5, total=30)
    call.excuse(20.0)
    assert call.deadline == (126.0, "first_chunk")
    call.excuse(20.0)
    assert call.deadline == (130.0, "total")


def test_a_new_attempt_has_the_patience_of_a_first_chunk():
    call = begun(first_chunk=5, inter_chunk=1)
    call.receive_data(chat_events("one")[0], 110.0)
    call.start(call.plan.endpoint, 120.0)
    assert call.deadline == (125.0, "first_chunk")
    assert call.attempts == 2


def test_what_is_read_behind_the_answer_takes_no_time_of_it():
    call = begun()
    for event in chat_events("one"):
        call.receive_data(event, 105.0)
    call.receive_eof(106.0)
    call.finish(107.0)
    assert call.timing.total == 6.0
    assert call.timing.ttft == 5.0


def test_a_call_that_broke_behind_the_answer_ends_when_the_face_says_so():
    call = begun()
    for event in chat_events("one")[:-1]:
        call.receive_data(event, 105.0)
    call.current.receive_failure(APIConnectionError("reset"))
    call.finish(107.0)
    assert call.timing.total == 7.0


def test_an_error_ends_the_call_when_it_is_raised():
    call = begun(on_interrupt="restart")
    call.receive_eof(106.0)
    assert call.retry_delay(107.0, 0.0) == 0.25
    assert call.timing.total is None
    call.start(call.plan.endpoint, 108.0).receive_failure(BadRequestError("no"))
    with pytest.raises(BadRequestError):
        call.retry_delay(109.0, 0.0)
    assert call.timing.total == 9.0


@pytest.mark.parametrize(("total", "again"), [(7.2, False), (7.25, False), (7.3, True)])
def test_a_retry_that_would_begin_after_the_end_is_not_made(total, again):
    call = begun(total=total)
    call.receive_eof(106.0)
    if again:
        assert call.retry_delay(107.0, 0.0) == 0.25
    else:
        with pytest.raises(StreamTruncatedError):
            call.retry_delay(107.0, 0.0)


@pytest.mark.parametrize(
    ("delta", "counts"),
    [
        ({"content": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"refusal": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"audio": {"data": ""}}, True),
        ({"role": "assistant", "content": "", "tool_calls": []}, False),
        ({}, False),
        (None, False),
    ],
)
def test_the_first_token_is_the_first_content(delta, counts):
    call = begun()
    call.receive_data(sse(chat_chunk(delta)), 105.0)
    assert call.timing.ttft == (5.0 if counts else None)
    call.receive_data(sse({"choices": []}), 106.0)
    call.receive_data(sse(chat_chunk({"content": "b"}, index=1)), 107.0)
    assert call.timing.ttft == (5.0 if counts else 7.0)


@pytest.mark.parametrize(
    ("emit_chunks", "age", "pause"), [(True, 0.2, 0.1), (False, 0.2, 0.01), (False, 60.0, 0.1)]
)
def test_a_pause_is_as_long_as_the_buffer_but_short_while_only_a_short_answers_end_matters(
    emit_chunks, age, pause
):
    asked = plan("openai/m", MESSAGES, {"OPENAI_API_KEY": KEY}, stream=True, buffer_msec=100)
    call = Call(asked, 100.0, emit_chunks=emit_chunks)
    call.start(asked.endpoint, 100.0)
    assert call.pause(100.0 + age) == pytest.approx(pause)


def test_an_unwatched_answer_may_lie_unread_once_it_has_begun():
    asked = plan("openai/m", MESSAGES, {"OPENAI_API_KEY": KEY}, stream=True, buffer_msec=100)
    call = Call(asked, 100.0, emit_chunks=False)
    exchange = call.start(asked.endpoint, 100.0)
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    call.receive_data(sse(chat_chunk({"role": "assistant", "content": ""})), 100.1)
    assert call.hold() == 0.0
    call.receive_data(sse(chat_chunk({"content": "a"})), 100.2)
    assert call.hold() == 0.1


def test_what_lies_in_a_buffer_is_not_the_providers_delay():
    limits = Timeouts(inter_chunk=1.0, first_chunk=2.0, total=None)
    environ = {"OPENAI_API_KEY": KEY}
    asked = plan("openai/m", MESSAGES, environ, stream=True, buffer_msec=500, timeout=limits)
    call = Call(asked, 100.0)
    call.start(asked.endpoint, 100.0)
    assert call.deadline == (102.5, "first_chunk")


# Only asynchronous


def run_async(server, work):
    async def main():
        async with AsyncClient(base_url=server.base_url, api_key=KEY, retry=AT_ONCE) as client:
            return await work(client)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "steps", [[Stall()], [Head(), Stall()], [*map(Send, chat_events()[:2]), Stall()]]
)
def test_a_task_that_is_cancelled_leaves_its_stream(fake_server, steps):
    fake_server.enqueue(stream(*steps))

    async def work(client):
        async def read():
            opened = await client.completion(MODEL, MESSAGES, stream=True)
            return await opened.read()

        task = asyncio.create_task(read())
        await fake_server.await_until(lambda: fake_server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fake_server.await_until(lambda: fake_server.cancelled == 1)

    run_async(fake_server, work)
    assert len(fake_server.requests) == 1


def test_a_timeout_of_the_callers_own_is_the_callers(fake_server):
    fake_server.enqueue(stream(*chat_events()[:2], LONG))

    async def work(client):
        opened = await client.completion(MODEL, MESSAGES, stream=True)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(opened.read(), 0.05)
        assert not asyncio.current_task().cancelled()
        return await client.completion(MODEL, MESSAGES)

    assert content(run_async(fake_server, work)) == "one two three"


def test_after_our_timeout_the_task_goes_on(fake_server):
    fake_server.enqueue(stream(*chat_events()[:2], LONG))

    async def work(client):
        short = limits(inter_chunk=0.05)
        opened = await client.completion(MODEL, MESSAGES, stream=True, timeout=short)
        with pytest.raises(Timeout, match="inter_chunk"):
            await opened.read()
        answer = await asyncio.wait_for(client.completion(MODEL, MESSAGES), 5)
        cancelling = getattr(asyncio.current_task(), "cancelling", lambda: 0)
        return answer, cancelling()

    answer, cancelling = run_async(fake_server, work)
    assert content(answer) == "one two three"
    assert cancelling == 0


def waits_until(when):
    """Return what a watchdog needs to know of a call: it waits for its first chunk."""
    return SimpleNamespace(deadline=(when, "first_chunk"), timing=SimpleNamespace(last_chunk=None))


async def watched(when):
    """Wait under a watchdog; return which timeout it saw, and if there was another cancellation."""
    watchdog = Watchdog(waits_until(when))
    try:
        with watchdog:
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        return watchdog.fired, watchdog.uncancel()
    finally:
        watchdog.stop()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before 3.11 nobody can tell")
@pytest.mark.parametrize("also", [False, True])
def test_a_cancellation_at_the_moment_of_a_timeout_is_not_lost(also):
    async def main():
        loop = asyncio.get_running_loop()
        when = loop.time() + 0.01
        task = asyncio.create_task(watched(when))
        await asyncio.sleep(0)
        if also:
            loop.call_at(when, task.cancel)
        return await task

    assert asyncio.run(main()) == ("first_chunk", also)


def test_a_cancellation_that_the_caller_swallowed_before_is_none_of_ours():
    async def main():
        async def stubborn():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return await watched(asyncio.get_running_loop().time())

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == ("first_chunk", False)


def test_many_tasks_share_a_client(fake_server):
    async def work(client):
        def ask(word):
            return client.completion(MODEL, [{"role": "user", "content": word}])

        words = [f"word-{n}" for n in range(100)]
        return words, [content(answer) for answer in await asyncio.gather(*map(ask, words))]

    words, answers = run_async(fake_server, work)
    assert answers == words


# The functions, and what they share


@pytest.fixture
def arguments(fake_server):
    return {"base_url": fake_server.base_url, "api_key": KEY, "retry": AT_ONCE}


def test_completion_shares_its_connections(fake_server, arguments):
    assert content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
    with ritellm.completion(MODEL, MESSAGES, stream=True, **arguments) as opened:
        assert text(opened) == "one two three"
    assert connections(fake_server) == [1, 1]


def test_threads_share_a_client(fake_server, arguments):
    def ask(number):
        said = f"word-{number}"
        answer = ritellm.completion(MODEL, [{"role": "user", "content": said}], **arguments)
        return content(answer) == said

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(80)))
    assert fake_server.connections <= 8


def test_acompletion_works_in_one_event_loop_after_the_other(fake_server, arguments):
    async def twice():
        answer = await ritellm.acompletion(MODEL, MESSAGES, **arguments)
        opened = await ritellm.acompletion(MODEL, MESSAGES, stream=True, **arguments)
        return content(answer), text([chunk async for chunk in opened])

    for _ in range(2):
        assert asyncio.run(twice()) == ("one two three", "one two three")
        assert not api._keepers
        gc.collect()  # a connection that was left open would warn now
    assert connections(fake_server) == [1, 1, 2, 2]


def test_acompletion_in_many_tasks_at_once_makes_one_client(fake_server, arguments):
    async def ask_ten():
        return await asyncio.gather(
            *[ritellm.acompletion(MODEL, MESSAGES, **arguments) for _ in range(10)]
        )

    assert [content(answer) for answer in asyncio.run(ask_ten())] == ["one two three"] * 10
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_connections_of_its_own(fake_server, arguments):
    assert content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            same = content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
            again = asyncio.run(ritellm.acompletion(MODEL, MESSAGES, **arguments))
            status = 0 if same and content(again) == "one two three" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
    assert connections(fake_server) == [1, 2, 3, 1]


@contextlib.contextmanager
def unanswered():
    """Yield the port of a listener whose line is full: connecting to it takes for ever."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full line refuses")
@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"total": 0.2}, "total"),
        ({"connect": None, "total": 0.2}, "total"),
        ({"connect": 0.2}, "connect"),
    ],
)
def test_connecting_ends_with_the_first_limit_in_both_faces(limits, name):
    with unanswered() as port:
        asked = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": "k", "num_retries": 0}
        asked["timeout"] = Timeouts(**limits)
        with pytest.raises(Timeout, match=f"{name} timeout of 0.2 s"):
            ritellm.completion(MODEL, MESSAGES, **asked)
        with pytest.raises(Timeout, match=f"{name} timeout of 0.2 s"):
            asyncio.run(ritellm.acompletion(MODEL, MESSAGES, **asked))


def test_at_exit_no_connection_is_left_open(fake_server):
    code = (
        "import asyncio, ritellm\n"
        f"asked = {{'model': 'openai/m', 'messages': [{{'role': 'user', 'content': 'hi'}}]}}\n"
        f"asked |= {{'base_url': {fake_server.base_url!r}, 'api_key': 'sk-none'}}\n"
        "print(ritellm.completion(**asked).choices[0].message.content)\n"
        "left = ritellm.completion(**asked, stream=True)\n"
        "print(asyncio.run(ritellm.acompletion(**asked)).choices[0].message.content)\n"
    )
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\nhi\n", "")


# A stream that nobody watches


def test_a_stream_that_nobody_watches_brings_the_whole_and_no_chunks(face):
    opened = face.unwatched()
    assert list(opened) == []
    assert content(opened.completion) == "one two three"
    assert opened.timing.ttft is not None


def test_a_stream_that_nobody_watches_may_not_stall_longer_than_another(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:2], Stall()))
    with pytest.raises(Timeout) as caught:
        list(face.unwatched(timeout=limits(inter_chunk=SHORT), num_retries=0))
    assert caught.value.code == "inter_chunk_timeout"
    assert content(caught.value.partial) == "one "


def test_a_stream_that_nobody_watches_is_asked_again_when_it_breaks(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:2], Reset()))
    opened = face.unwatched(on_interrupt="restart")
    assert list(opened) == []
    assert content(opened.completion) == "one two three"
    assert opened.attempts == 2


# The two faces are one

# What the other face has no need of: a constructor cannot wait, and `batch` is for the event loop
# that reads many streams.
ONLY_ASYNC = {"open", "batch"}


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")}


def test_the_two_faces_have_the_same_methods():
    # `stream` returns a stream that is not open yet, which only the asynchronous face has.
    assert public(Client) == public(AsyncClient) - {"stream"}
    renamed = {{"aclose": "close"}.get(name, name) for name in public(AsyncStream)}
    assert renamed - ONLY_ASYNC == public(Stream)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Client.completion, AsyncClient.completion),
        (Client.open, AsyncClient.open),
        (Client.complete, AsyncClient.complete),
        (ritellm.completion, ritellm.acompletion),
        (Client.close, AsyncClient.close),
        (Stream.read, AsyncStream.read),
        (Stream.close, AsyncStream.aclose),
    ],
)
def test_the_two_faces_take_the_same_arguments(one, other):
    def taken(function):
        return [
            (name, parameter.kind, parameter.default)
            for name, parameter in inspect.signature(function).parameters.items()
        ]

    assert taken(one) == taken(other)
