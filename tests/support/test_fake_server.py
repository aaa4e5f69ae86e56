"""What a test may rely on when it uses the fake server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import httpx
import orjson
import pytest
from fake_server import (
    SPRINKLES,
    Close,
    End,
    FakeServer,
    Head,
    Pause,
    Reply,
    Request,
    Reset,
    Send,
    Stall,
    Step,
    ToolCall,
    Wait,
    api_error,
    chat_events,
    chat_json,
    chat_stream,
    error_event,
    html_page,
    raw,
    sse_error,
    stream,
)

ASKED = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture
def client(fake_server: FakeServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fake_server.base_url, timeout=5, trust_env=False) as client:
        yield client


def ask(client: httpx.Client, **parameters: object) -> httpx.Response:
    return client.post("/chat/completions", json=ASKED | parameters)


def chunks(body: bytes) -> list[dict]:
    """Return the JSON events of a body whose newlines are `\\n`."""
    data = re.findall(rb"^data: (\{.*\})$", body, re.MULTILINE)
    return [orjson.loads(event) for event in data]


def text(body: bytes) -> str:
    choices = [choice for chunk in chunks(body) for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_it_echoes_the_last_user_message_by_default(client):
    answer = ask(client).json()
    assert answer["choices"][0]["message"]["content"] == "one two three"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_a_stream_has_usage_only_if_asked_for(client):
    plain = ask(client, stream=True).content
    counted = ask(client, stream=True, stream_options={"include_usage": True}).content
    assert text(plain) == text(counted) == "one two three"
    assert b"usage" not in plain
    assert chunks(counted)[-1]["choices"] == []
    assert chunks(counted)[-1]["usage"]["total_tokens"] == 6
    assert plain.endswith(b"data: [DONE]\n\n")


def test_what_is_no_chat_request_is_refused(client):
    assert client.post("/chat/completions", content=b"?").status_code == 400
    assert client.get("/models").status_code == 400


def test_enqueued_replies_come_first_and_in_order(fake_server, client):
    fake_server.script = lambda request: chat_json("script")
    fake_server.enqueue(chat_json("first"), api_error(429, headers={"retry-after": "2"}))
    answers = [ask(client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].headers["retry-after"] == "2"
    assert "first" in answers[0].text
    assert "script" in answers[2].text


def test_requests_are_recorded_whole(fake_server, client):
    client.post("/x?api-version=1", content=iter([b'{"a"', b":1}"]), headers={"X-Key": "k"})
    [request] = fake_server.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/x", {"api-version": "1"})
    assert request.headers["x-key"] == "k"
    assert request.json == {"a": 1}


def test_a_finished_stream_leaves_its_connection_reusable(fake_server, client):
    for _ in range(3):
        ask(client, stream=True)
    assert [request.connection for request in fake_server.requests] == [1, 1, 1]
    fake_server.enqueue(chat_json("bye").but(headers={"connection": "close"}))
    ask(client)
    ask(client)
    assert [request.connection for request in fake_server.requests] == [1, 1, 1, 1, 2]
    assert fake_server.connections == 2


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("step", [Close(), Reset()])
def test_a_cut_in_mid_body_is_seen_after_all_that_was_sent(fake_server, client, step, framing):
    events = chat_events("one two three")
    fake_server.enqueue(stream(*events[:3], step, *events[3:], framing=framing))
    received = []
    with client.stream("POST", "/x") as response:
        expected = httpx.ReadError if step == Reset() else httpx.RemoteProtocolError
        with pytest.raises(expected):
            received.extend(response.iter_raw())
    assert b"".join(received) == b"".join(events[:3])
    fake_server.wait_until(lambda: fake_server.open_streams == 0)
    assert fake_server.cancelled == 0


def test_a_cut_body_without_framing_looks_like_the_end(fake_server, client):
    events = chat_events("one two three")
    fake_server.enqueue(stream(*events[:3], Close(), framing="close"))
    assert ask(client).content == b"".join(events[:3])


def test_a_reset_can_come_before_the_head(fake_server, client):
    fake_server.enqueue(Reply(steps=[Reset()]))
    with pytest.raises(httpx.ReadError):
        ask(client)


def test_an_idle_connection_can_be_closed_under_the_client(fake_server):
    go = threading.Event()
    fake_server.enqueue(Reply(steps=[Send(b"hi"), End(), Wait(go), Close()]))
    with socket.create_connection(("127.0.0.1", fake_server.port)) as tcp:
        tcp.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with tcp.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            fake_server.wait_until(lambda: fake_server.open_streams == 0)
            go.set()
            assert answer.read().endswith(b"2\r\nhi\r\n0\r\n\r\n")


def test_a_wait_holds_the_stream_until_the_test_says_go(fake_server, client):
    go = threading.Event()
    events = chat_events("one two")
    fake_server.enqueue(stream(events[0], Wait(go), *events[1:]))
    with client.stream("POST", "/x") as response:
        data = response.iter_raw()
        assert next(data) == events[0]
        assert fake_server.open_streams == 1
        go.set()
        assert b"".join(data) == b"".join(events[1:])


def test_the_head_can_be_sent_alone(fake_server, client):
    fake_server.enqueue(stream(Head(), Stall(), status=503))
    with client.stream("POST", "/x") as response:
        assert response.status_code == 503
        assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("step", [Stall(), Wait(threading.Event()), Pause(3600)])
def test_a_client_that_leaves_early_is_seen(fake_server, client, step):
    fake_server.enqueue(stream(*chat_events()[:2], step))
    with client.stream("POST", "/x") as response:
        next(response.iter_raw())
    fake_server.wait_until(lambda: fake_server.cancelled == 1)
    assert fake_server.open_streams == 0
    ask(client)
    assert fake_server.cancelled == 1


def test_a_client_that_sends_and_vanishes_is_recorded_and_seen(fake_server):
    with socket.create_connection(("127.0.0.1", fake_server.port)) as tcp:
        tcp.sendall(b"GET /gone HTTP/1.1\r\n\r\n")
    fake_server.wait_until(lambda: fake_server.requests)
    fake_server.wait_until(lambda: fake_server.open_streams == 0)


def test_a_long_stream_waits_for_a_client_that_does_not_read(fake_server, client):
    fake_server.enqueue(stream(*[b"x" * 100_000] * 1000))
    with client.stream("POST", "/x") as response:
        data = response.iter_raw()
        next(data)
        assert fake_server.open_streams == 1
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_streams_that_are_open_at_once_are_counted(fake_server):
    go = threading.Event()
    fake_server.script = lambda request: stream(Wait(go), *chat_events())

    async def ask_ten_times() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=fake_server.base_url, trust_env=False) as client:
            answers = [asyncio.ensure_future(client.post("/x")) for _ in range(10)]
            await fake_server.await_until(lambda: fake_server.open_streams == 10)
            go.set()
            return await asyncio.gather(*answers)

    assert all(answer.status_code == 200 for answer in asyncio.run(ask_ten_times()))
    assert fake_server.max_open == 10
    assert fake_server.open_streams == 0
    assert len({request.connection for request in fake_server.requests}) == 10


def test_every_send_can_be_cut_into_pieces(fake_server, client):
    event = b"data: \xf0\x9f\x98\x80\n\n"
    reply = stream(event, event, pieces_of=1)
    fake_server.enqueue(reply, reply.but(pieces_of=(3, 4, 4)))
    for sizes in ([1] * 24, [3, 4, 4, 1, 4, 4, 3, 1]):
        with client.stream("POST", "/x") as response:
            pieces = list(response.iter_raw())
        assert b"".join(pieces) == event * 2
        assert [len(piece) for piece in pieces] == sizes


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_gzip_is_flushed_after_each_event(fake_server, client, framing):
    events = chat_events("one two three")
    go = threading.Event()
    reply = stream(events[0], Wait(go), *events[1:], encoding="gzip", framing=framing)
    fake_server.enqueue(reply, reply.but(pieces_of=1))
    with client.stream("POST", "/x") as response:
        data = response.iter_raw()
        inflate = zlib.decompressobj(wbits=31)
        assert inflate.decompress(next(data)) == events[0]
        go.set()
        assert inflate.decompress(b"".join(data)) == b"".join(events[1:])
        assert inflate.eof
    assert ask(client).content == b"".join(events)


def test_helpers_speak_openai(client, fake_server):
    calls = [ToolCall("call_1", "f", '{"x": 1}'), ToolCall("call_2", "g", ["{", "}"])]
    fake_server.enqueue(
        chat_stream("", tool_calls=calls, reasoning=["hm", "m"], choices=2),
        chat_json("", tool_calls=calls),
        sse_error("overloaded_error", after=chat_events("one two")[:2], event="error"),
        html_page(),
        raw(b"\x00\x01"),
    )
    streamed, whole, failed, page, bare = (ask(client) for _ in range(5))
    deltas = [c for chunk in chunks(streamed.content) for c in chunk["choices"] if c["index"] == 1]
    assert "".join(d["delta"].get("reasoning_content", "") for d in deltas) == "hmm"
    parts = [call for d in deltas for call in d["delta"].get("tool_calls", ())]
    joined = ["".join(p["function"]["arguments"] for p in parts if p["index"] == i) for i in (0, 1)]
    assert joined == ['{"x": 1}', "{}"]
    assert deltas[-1]["finish_reason"] == "tool_calls"
    assert [c["id"] for c in whole.json()["choices"][0]["message"]["tool_calls"]] == [
        "call_1",
        "call_2",
    ]
    assert failed.content.endswith(error_event("overloaded_error", event="error"))
    assert page.text.startswith("<!DOCTYPE html>")
    assert bare.content == b"\x00\x01"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_sprinkles_and_newlines_leave_one_item_per_event(newline):
    plain = chat_events("one two")
    noisy = chat_events("one two", newline=newline, sprinkle=SPRINKLES)
    assert len(noisy) == len(plain)
    assert all(b": ping" + newline.encode() * 2 in event for event in noisy)
    assert all(
        n.endswith(p.replace(b"\n", newline.encode())) for n, p in zip(noisy, plain, strict=True)
    )


def test_a_stream_can_lack_its_ending():
    events = chat_events("one", finish_reason=None, usage=False, done=False)
    assert text(b"".join(events)) == "one"
    assert len(events) == 2


def test_what_a_script_raises_is_raised_in_the_test():
    def script(request: Request) -> Reply:
        raise AssertionError("no such header")

    with pytest.raises(AssertionError, match="no such header"), FakeServer(script) as server:
        assert httpx.get(server.base_url, trust_env=False).status_code == 500


def test_waiting_in_vain_says_what_was_seen(fake_server):
    with pytest.raises(TimeoutError, match="requests=0, connections=0"):
        fake_server.wait_until(lambda: fake_server.requests, timeout=0.01)


@pytest.mark.parametrize("step", [Stall(), Wait(threading.Event()), Pause(3600)])
def test_it_leaves_nothing_behind_in_the_middle_of_a_stream(step: Step):
    threads = threading.active_count()
    with contextlib.ExitStack() as clients:
        with FakeServer(lambda request: stream(b"x", step)) as server:
            for _ in range(3):
                tcp = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                tcp.sendall(b"GET / HTTP/1.1\r\n\r\n")
            server.wait_until(lambda: server.open_streams == 3)
            # One more that it has perhaps not yet accepted when it stops.
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert (server.open_streams, server.cancelled) == (0, 0)
        assert threading.active_count() == threads
    gc.collect()  # an unclosed transport would warn now, and a warning is an error


def test_it_stops_when_the_test_fails_and_does_not_hide_why():
    with pytest.raises(KeyError), FakeServer() as server:
        raise KeyError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_starting_and_stopping_takes_milliseconds():
    started = time.perf_counter()
    for _ in range(10):
        with FakeServer():
            pass
    assert time.perf_counter() - started < 1  # 100 ms each: loose, for a busy machine
