"""Chunks put together before the caller sees them: fewer, still chunks, and the same sum."""

from __future__ import annotations

import asyncio
import itertools

import orjson
import pytest
from fake_server import Reset, ToolCall, chat_events, stream
from hypothesis import given
from hypothesis import strategies as st

from ritellm import APIConnectionError, AsyncClient, Client, Timeouts, stream_chunk_builder
from ritellm.chunks import ChunkSum
from ritellm.chunks.sum import merge_chunks
from ritellm.types import Chunk

MESSAGES = [{"role": "user", "content": "hi"}]
WORDS = [f"w{n} " for n in range(20)]


def chunks_of(events):
    return [Chunk(orjson.loads(event[6:])) for event in events if b"[DONE]" not in event]


RICH = chunks_of(
    chat_events(
        WORDS,
        reasoning=["think ", "more"],
        tool_calls=[ToolCall("a", "f", ['{"x"', ":1}"]), ToolCall("b", "g", ["{}"])],
        choices=2,
    )
)


def summed(chunks):
    total = ChunkSum()
    for chunk in chunks:
        total.add(chunk)
    return total.completion()


@given(st.lists(st.integers(0, len(RICH)), max_size=8).map(sorted))
def test_any_neighbours_merged_sum_to_the_same(cuts):
    bounds = [0, *cuts, len(RICH)]
    groups = [RICH[a:b] for a, b in itertools.pairwise(bounds) if b > a]
    assert summed([merge_chunks(group) for group in groups]) == summed(RICH)


def test_a_merged_chunk_is_a_chunk():
    merged = merge_chunks(RICH)
    assert merged["object"] == "chat.completion.chunk"
    assert merged.choices[0].delta.content == "".join(WORDS)
    assert merged.choices[0].finish_reason == "tool_calls"
    assert merged.usage is not None


def read(face, server, **arguments):
    arguments = {"stream": True, "api_key": "k", "base_url": server.base_url, **arguments}
    if face == "sync":
        with Client() as client:
            return list(client.completion("openai/m", MESSAGES, **arguments))

    async def go():
        async with AsyncClient() as client:
            opened = await client.completion("openai/m", MESSAGES, **arguments)
            return [chunk async for chunk in opened]

    return asyncio.run(go())


FACES = pytest.mark.parametrize("face", ["sync", "async"])


@FACES
@pytest.mark.parametrize(("size", "count"), [(1, 23), (2, 12), (10, 3), (100, 1)])
def test_buffer_chunks_merges_that_many_chunks(fake_server, face, size, count):
    """A head, 20 words, a finish and a usage chunk."""
    fake_server.enqueue(stream(*chat_events(WORDS)))
    got = read(face, fake_server, buffer_chunks=size)
    assert len(got) == count
    assert [chunk.seq for chunk in got] == list(range(count))
    completion = stream_chunk_builder(got)
    assert completion.choices[0].message.content == "".join(WORDS)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None


@FACES
def test_chunks_that_arrive_between_two_reads_are_merged(fake_server, face):
    fake_server.enqueue(stream(*chat_events(WORDS)))
    got = read(face, fake_server, buffer_msec=20)
    assert len(got) <= 3
    assert stream_chunk_builder(got).choices[0].message.content == "".join(WORDS)


@FACES
def test_connections_are_reused_with_a_buffer(fake_server, face):
    arguments = {"buffer_msec": 1, "stream": True, "api_key": "k"}
    if face == "sync":
        with Client(base_url=fake_server.base_url) as client:
            for _ in range(3):
                client.completion("openai/m", MESSAGES, **arguments).read()
    else:

        async def go():
            async with AsyncClient(base_url=fake_server.base_url) as client:
                for _ in range(3):
                    await (await client.completion("openai/m", MESSAGES, **arguments)).read()

        asyncio.run(go())
    assert {request.connection for request in fake_server.requests} == {1}


@FACES
def test_buffered_chunks_are_in_the_partial_of_an_error(fake_server, face):
    fake_server.enqueue(stream(*chat_events("one two three")[:3], Reset()))
    with pytest.raises(APIConnectionError) as caught:
        read(face, fake_server, buffer_chunks=100, num_retries=0)
    assert caught.value.partial.choices[0].message.content == "one two "


@FACES
def test_a_buffer_does_not_stop_the_timeouts(fake_server, face):
    """The pause of the reader is not counted as the provider's."""
    fake_server.enqueue(stream(*chat_events(WORDS)))
    limits = Timeouts(connect=5, first_chunk=5, inter_chunk=0.05)
    assert read(face, fake_server, buffer_msec=100, timeout=limits)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"buffer_msec": -1}, "buffer_msec"),
        ({"buffer_msec": "soon"}, "buffer_msec"),
        ({"buffer_chunks": 1.5}, "buffer_chunks"),
    ],
)
def test_an_invalid_buffer_is_an_error(fake_server, arguments, words):
    with pytest.raises(Exception, match=words):
        read("sync", fake_server, **arguments)
    assert fake_server.requests == []
