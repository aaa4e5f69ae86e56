"""An answer that `max_tokens` cuts off goes on without a seam, with `on_length="continue"`."""

from __future__ import annotations

import asyncio

import pytest
from fake_server import Close, ToolCall, api_error, chat_events, chat_stream, stream

import ritellm
from ritellm import InvalidRequestError, RetryPolicy

MESSAGES = [{"role": "user", "content": "Count."}]
WORDS = [f"{n} " for n in range(12)]
TEXT = "".join(WORDS)


def usage_of(words):
    return {"prompt_tokens": 3, "completion_tokens": words, "total_tokens": 3 + words}


def counting(request, room=5):
    """Write the next `room` words, as a server does that continues the assistant's message."""
    last = request.json["messages"][-1]
    begun = last["content"] if last["role"] == "assistant" else ""
    left = WORDS[begun.count(" ") :]
    reason = "stop" if len(left) <= room else "length"
    usage = usage_of(len(left[:room]))
    return stream(*chat_events(left[:room], finish_reason=reason, usage=usage))


def ask(server, model="hosted_vllm/m", **arguments):
    given = {
        "stream": True,
        "base_url": server.base_url,
        "api_key": "sk-none",
        "on_length": "continue",
        "max_tokens": 5,
        "retry": RetryPolicy(first_delay=0.0),
    }
    return ritellm.completion(model, MESSAGES, **given | arguments)


@pytest.mark.parametrize("merged", [{}, {"buffer_chunks": 3}], ids=["single", "merged"])
def test_the_parts_of_an_answer_are_one_attempt_and_one_completion(fake_server, merged):
    fake_server.script = counting
    opened = ask(fake_server, **merged)
    chunks = list(opened)
    whole = opened.completion
    assert whole.choices[0].message.content == TEXT
    assert whole.choices[0].finish_reason == "stop"
    reasons = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert reasons == ["stop"]
    places = [(chunk.attempt, chunk.seq) for chunk in chunks]
    assert places == [(1, seq) for seq in range(len(chunks))]
    assert ritellm.stream_chunk_builder(chunks) == whole
    assert opened.attempts == len(fake_server.requests) == 3


def test_usage_counts_all_parts_and_no_interruption(fake_server):
    fake_server.script = counting
    opened = ask(fake_server)
    list(opened)
    assert opened.usage == {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def test_the_asynchronous_face_continues_too(fake_server):
    fake_server.script = counting

    async def read():
        arguments = {"base_url": fake_server.base_url, "api_key": "sk-none", "max_tokens": 5}
        return await ritellm.acompletion(
            "hosted_vllm/m", MESSAGES, on_length="continue", **arguments
        )

    # The fake server answers in events, also a request without `stream`.
    whole = asyncio.run(read())
    assert whole.choices[0].message.content == TEXT
    assert len(fake_server.requests) == 3


def test_without_it_the_answer_ends_there(fake_server):
    fake_server.script = counting
    opened = ask(fake_server, on_length="stop")
    list(opened)
    assert opened.completion.choices[0].finish_reason == "length"
    assert len(fake_server.requests) == 1


def test_an_answer_is_continued_eight_times_at_most(fake_server):
    fake_server.script = lambda request: stream(*chat_events("more ", finish_reason="length"))
    opened = ask(fake_server)
    list(opened)
    assert len(fake_server.requests) == 9
    assert opened.completion.choices[0].finish_reason == "length"


def test_a_part_without_text_ends_the_answer(fake_server):
    empty = chat_stream([], finish_reason="length")
    fake_server.enqueue(chat_stream("more ", finish_reason="length"), empty)
    opened = ask(fake_server)
    list(opened)
    assert opened.completion.choices[0].finish_reason == "length"
    assert len(fake_server.requests) == 2


def test_a_break_in_a_later_part_continues_whatever_on_interrupt_says(fake_server):
    later = chat_events(WORDS[5:10], finish_reason="length")
    fake_server.enqueue(
        stream(*chat_events(WORDS[:5], finish_reason="length")),
        stream(*later[:3], Close()),
        api_error(429),
    )
    fake_server.script = counting
    opened = ask(fake_server, on_interrupt="raise", num_retries=3)
    list(opened)
    assert opened.completion.choices[0].message.content == TEXT
    assert opened.attempts == len(fake_server.requests) == 4


def test_a_tool_call_that_is_cut_off_is_not_continued(fake_server):
    call = [ToolCall("c", "f", '{"a": ')]
    fake_server.enqueue(stream(*chat_events("", tool_calls=call, finish_reason="length")))
    opened = ask(fake_server)
    list(opened)
    assert opened.completion.choices[0].finish_reason in ("length", "tool_calls")
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize(
    ("model", "arguments", "reason"),
    [
        ("openai/m", {}, "openai cannot continue an answer that max_tokens cut off: leave out"),
        ("openai/responses/m", {}, "cannot continue an answer that max_tokens cut off of the"),
        ("anthropic/claude-opus-4-6", {}, "cut off with claude-opus-4-6: leave out on_length"),
        ("hosted_vllm/m", {"n": 2}, "cut off with n above 1"),
        ("hosted_vllm/m", {"on_length": "grow"}, "on_length must be 'stop' or 'continue', got"),
    ],
)
def test_what_cannot_be_continued_is_refused_before_anything_is_sent(
    fake_server, model, arguments, reason
):
    with pytest.raises(InvalidRequestError, match=reason):
        ask(fake_server, model, **arguments)
    assert not fake_server.requests
