"""Both faces over loopback: streams, whole completions, and equal signatures."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest
from faces import (
    KEY,
    LONG,
    MESSAGES,
    MODEL,
    SHORT,
    answered,
    content,
    limits,
    run_async,
)
from fake_server import (
    SPRINKLES,
    Head,
    Reset,
    Send,
    Stall,
    ToolCall,
    Wait,
    chat_events,
    chat_json,
    chat_stream,
    stream,
)

import ritellm
from ritellm.chunks import stream_chunk_builder
from ritellm.client import Client
from ritellm.client_async import AsyncClient
from ritellm.errors import (
    Timeout,
)
from ritellm.stream import Stream
from ritellm.stream_async import AsyncStream
from ritellm.types import Chunk, Completion


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


def test_a_stream_has_its_timing(face):
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
def test_the_answer_does_not_depend_on_how_it_is_sent(face, fake_server, reply, streamed):
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


def test_a_timeout_of_the_caller_is_raised_as_the_callers(fake_server):
    fake_server.enqueue(stream(*chat_events()[:2], LONG))

    async def work(client):
        opened = await client.completion(MODEL, MESSAGES, stream=True)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(opened.read(), 0.05)
        assert not asyncio.current_task().cancelled()
        return await client.completion(MODEL, MESSAGES)

    assert content(run_async(fake_server, work)) == "one two three"


def test_the_task_continues_after_a_timeout(fake_server):
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


def test_many_tasks_share_a_client(fake_server):
    async def work(client):
        def ask(word):
            return client.completion(MODEL, [{"role": "user", "content": word}])

        words = [f"word-{n}" for n in range(100)]
        return words, [content(answer) for answer in await asyncio.gather(*map(ask, words))]

    words, answers = run_async(fake_server, work)
    assert answers == words


def test_a_stream_without_chunks_still_returns_the_whole_completion(face):
    opened = face.unwatched()
    assert list(opened) == []
    assert content(opened.completion) == "one two three"
    assert opened.timing.ttft is not None


def test_a_stream_without_chunks_times_out_like_any_other(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:2], Stall()))
    with pytest.raises(Timeout) as caught:
        list(face.unwatched(timeout=limits(inter_chunk=SHORT), num_retries=0))
    assert caught.value.code == "inter_chunk_timeout"
    assert content(caught.value.partial) == "one "


def test_a_stream_without_chunks_is_retried_when_it_breaks(face, fake_server):
    fake_server.enqueue(stream(*chat_events("one two")[:2], Reset()))
    opened = face.unwatched(on_interrupt="restart")
    assert list(opened) == []
    assert content(opened.completion) == "one two three"
    assert opened.attempts == 2


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
