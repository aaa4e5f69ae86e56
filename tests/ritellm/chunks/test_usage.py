"""Counts of tokens that arrive in several parts: known counts stay, in every dialect."""

from __future__ import annotations

import orjson
import pytest
from dialect_samples import typed
from fake_server import Close, sse, stream
from provider_replay import streamed

import ritellm
from ritellm import RetryPolicy
from ritellm import wire as wires
from ritellm.chunks import ChunkSum, stream_chunk_builder
from ritellm.chunks.usage import merged
from ritellm.types import Request


@pytest.mark.parametrize(
    ("known", "later", "expected"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {"a": 1}),
        ({"a": 1}, {"a": 0}, {"a": 1}),
        ({"a": 0}, {"a": 0}, {"a": 0}),
        ({"a": True}, {"a": False}, {"a": False}),
        ({"d": {"a": 1}}, {"d": {"a": 0}}, {"d": {"a": 1}}),
        ({"a": None}, {"a": 1}, {"a": 1}),
        ({}, {"a": None}, {"a": None}),
        ({"d": {"a": 1, "b": 2}}, {"d": {"a": 3}}, {"d": {"a": 3, "b": 2}}),
        ({"d": {"a": 1}}, {"d": {"a": None}}, {"d": {"a": 1}}),
        ({"d": {"a": 1}}, {"d": None}, {"d": {"a": 1}}),
        ({"d": {"a": 1}}, {"d": {}}, {"d": {"a": 1}}),
        ({"d": {"a": 1}}, {"d": "none"}, {"d": {"a": 1}}),
        ({"l": [1]}, {"l": []}, {"l": [1]}),
    ],
)
def test_a_later_count_adds_to_what_is_known(known, later, expected):
    before = orjson.dumps(known)
    assert merged(known, later) == expected
    assert orjson.dumps(known) == before


FULL = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
POORER = [
    {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    {**FULL, "prompt_tokens_details": None, "completion_tokens_details": None},
    {**FULL, "prompt_tokens_details": {}, "completion_tokens_details": {"reasoning_tokens": None}},
    dict.fromkeys(FULL),
    {},
    [],
    None,
]


@pytest.mark.parametrize("later", POORER, ids=repr)
@pytest.mark.parametrize("apart", [True, False], ids=["merged", "added"])
def test_a_later_count_without_details_erases_nothing(later, apart):
    first, second = ChunkSum(), ChunkSum()
    first.add({"choices": [], "usage": FULL})
    (second if apart else first).add({"choices": [], "usage": later})
    first.merge(second)
    assert first.usage == FULL


TEXT = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
START = {"id": "m", "type": "message", "role": "assistant", "content": []}
CANDIDATE = {"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": "STOP"}
TWICE = {
    "openai_chat": [
        sse({**TEXT, "usage": FULL}),
        *(sse({"choices": [], "usage": each}) for each in POORER),
        b"data: [DONE]\n\n",
    ],
    "anthropic": [
        typed(
            {
                "type": "message_start",
                "message": {
                    **START,
                    "usage": {
                        "input_tokens": 6,
                        "cache_read_input_tokens": 4,
                        "output_tokens": 1,
                        "cache_creation": {"ephemeral_1h_input_tokens": 0},
                    },
                },
            },
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 3}},
            },
            *(
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
                for usage in (
                    None,
                    {"output_tokens": 5, "output_tokens_details": None},
                    {"output_tokens": None, "input_tokens": None, "output_tokens_details": {}},
                    {"cache_read_input_tokens": None, "cache_creation": {}},
                )
            ),
            {"type": "message_stop"},
        )
    ],
    "gemini": [
        sse(
            {
                "candidates": [CANDIDATE],
                "usageMetadata": {
                    "promptTokenCount": 10,
                    "candidatesTokenCount": 2,
                    "thoughtsTokenCount": 3,
                    "cachedContentTokenCount": 4,
                    "totalTokenCount": 15,
                },
            }
        ),
        *(
            sse({"usageMetadata": usage})
            for usage in (
                None,
                {},
                {"promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 15},
                {"thoughtsTokenCount": None, "cachedContentTokenCount": None},
            )
        ),
    ],
}


@pytest.mark.parametrize("wire", TWICE)
def test_a_stream_that_counts_twice_keeps_its_details(wire):
    call = streamed(wire, b"".join(TWICE[wire]))
    assert call.error is None
    usage = call.completion()["usage"]
    assert {name: usage[name] for name in FULL} | {
        "prompt_tokens_details": {
            "cached_tokens": usage["prompt_tokens_details"]["cached_tokens"],
        }
    } == FULL


BEDROCK = [
    ("messageStop", {"stopReason": "end_turn"}),
    (
        "metadata",
        {"usage": {"inputTokens": 6, "outputTokens": 5, "cacheReadInputTokens": 4}},
    ),
]
COHERE = [
    (
        "message-end",
        {
            "delta": {
                "finish_reason": "COMPLETE",
                "usage": {"tokens": {"input_tokens": 10, "output_tokens": 5}, "cached_tokens": 4},
            }
        },
    )
]
OLLAMA = [("", {"done": True, "prompt_eval_count": 10, "eval_count": 5})]


@pytest.mark.parametrize(
    ("wire", "first", "again"),
    [
        ("bedrock", BEDROCK, ("metadata", {})),
        ("bedrock", BEDROCK, ("metadata", {"usage": None})),
        ("bedrock", BEDROCK, ("metadata", {"usage": {"outputTokens": None}})),
        ("bedrock", BEDROCK, ("metadata", {"usage": {"inputTokens": 6}})),
        ("cohere", COHERE, ("message-end", {"delta": {"usage": None}})),
        ("cohere", COHERE, ("message-end", {"delta": {"usage": {"tokens": None}}})),
        ("cohere", COHERE, ("message-end", {"delta": {"usage": {"tokens": {"input_tokens": 10}}}})),
        ("ollama", OLLAMA, ("", {"done": True, "eval_count": 5})),
        ("ollama", OLLAMA, ("", {"done": True, "eval_count": None, "prompt_eval_count": 10})),
    ],
)
def test_a_second_end_keeps_what_the_first_one_counted(wire, first, again):
    decoder, chunks = wires.load(wire).new_decoder(Request("m", [])), []
    for kind, payload in [*first, again]:
        decoder.decode((kind, orjson.dumps({"type": kind, **payload})), chunks)
    completion = stream_chunk_builder(chunks)
    usage = completion["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (10, 5)
    if wire != "ollama":
        assert usage["prompt_tokens_details"]["cached_tokens"] == 4


def test_a_resumed_completion_adds_the_details_of_both_requests(fake_server):
    first = [sse({**TEXT, "choices": [{"index": 0, "delta": {"content": "a"}}], "usage": FULL})]
    poorer = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    second = [
        sse({**TEXT, "usage": FULL}),
        sse({"choices": [], "usage": {**poorer, "prompt_tokens_details": None}}),
    ]
    fake_server.enqueue(stream(*first, Close()), stream(*second, b"data: [DONE]\n\n"))
    opened = ritellm.completion(
        "hosted_vllm/m",
        [{"role": "user", "content": "Hi"}],
        stream=True,
        base_url=fake_server.base_url,
        api_key="k",
        on_interrupt="continue",
        retry=RetryPolicy(first_delay=0.0),
    )
    list(opened)
    usage = opened.usage
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (20, 10)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 8
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 6
    assert [each.kept for each in opened.discarded] == [True]


@pytest.mark.parametrize("later", [{}, dict.fromkeys(FULL, 0), {"prompt_tokens": 0}])
def test_an_empty_usage_does_not_erase_what_was_counted(later):
    chunks = [{"choices": [], "usage": usage} for usage in (FULL, later)]
    assert stream_chunk_builder(chunks)["usage"] == FULL


def test_a_total_is_not_less_than_its_parts():
    first = {"prompt_tokens": 25, "completion_tokens": 1, "total_tokens": 26}
    later = {"prompt_tokens": 0, "completion_tokens": 15, "total_tokens": 15}
    chunks = [{"choices": [], "usage": usage} for usage in (first, later)]
    assert stream_chunk_builder(chunks)["usage"]["total_tokens"] == 40


def test_a_count_that_falls_to_zero_stays_in_anthropics_messages():
    usage = {"input_tokens": 25, "cache_read_input_tokens": 4, "output_tokens": 1}
    later = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 15}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": later}
    start = {"type": "message_start", "message": {"id": "m", "content": [], "usage": usage}}
    counted = streamed("anthropic", typed(start, stop, {"type": "message_stop"})).sum.usage
    assert (counted["prompt_tokens"], counted["completion_tokens"]) == (29, 15)
    assert counted["total_tokens"] == 44
    assert counted["prompt_tokens_details"]["cached_tokens"] == 4
