"""Timeouts of both faces: which one ends a wait, and what does not count."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading

import pytest
from faces import (
    KEY,
    LONG,
    MESSAGES,
    MODEL,
    PINGS,
    SHORT,
    answered,
    content,
    limits,
    text,
)
from fake_server import (
    Head,
    Pause,
    Send,
    Wait,
    chat_events,
    chat_json,
    stream,
)

import ritellm
from ritellm.client_async import AsyncClient
from ritellm.errors import (
    Timeout,
)
from ritellm.types import Timeouts


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


def test_pings_between_chunks_cause_no_timeout(face, fake_server):
    events = chat_events([str(n) for n in range(50)])
    steps = [step for event in events for step in (Send(b": ping\n\n"), Pause(0.01), Send(event))]
    fake_server.enqueue(stream(*steps))
    completion = face.stream(timeout=limits(first_chunk=0.3, inter_chunk=0.3)).read()
    assert content(completion) == "".join(map(str, range(50)))


def test_the_total_timeout_applies_while_chunks_arrive(face, fake_server):
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


def test_a_busy_caller_is_not_cancelled(fake_server):
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


def test_an_unstreamed_answer_has_the_timeout_of_a_first_chunk(face, fake_server):
    body = chat_json("late").steps[0].data
    late = chat_json("late").but(steps=[Send(body[:50]), LONG], framing="chunked")
    fake_server.enqueue(late)
    with pytest.raises(Timeout, match="first_chunk"):
        face.ask(timeout=limits(first_chunk=SHORT), num_retries=0)


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
