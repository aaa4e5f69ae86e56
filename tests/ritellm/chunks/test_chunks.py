"""A completion is the sum of its chunks, whatever the grouping, the order or the repetition."""

from __future__ import annotations

import copy
import random
from base64 import b64decode, b64encode
from functools import partial

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ritellm.chunks import ChunkSum, stream_chunk_builder
from ritellm.chunks.sequenced import SequencedSum
from ritellm.chunks.sum import completion_to_chunk
from ritellm.types import Chunk, Completion


def chunk(delta=None, *, index=0, finish=None, choice=(), **top):
    """Return a chunk as OpenAI sends it, with one choice unless `delta` is None."""
    fields = {"index": index, "delta": delta, "finish_reason": finish, **dict(choice)}
    choices = [] if delta is None and not choice else [fields]
    return {"id": "c1", "object": "chat.completion.chunk", "choices": choices, **top}


def message(*deltas):
    """Return the message that chunks with these deltas add up to, without its role."""
    completion = stream_chunk_builder([chunk(delta) for delta in deltas])
    return {k: v for k, v in completion["choices"][0]["message"].items() if k != "role"}


def call(index=None, id=None, name=None, arguments=None, **more):
    """Return a fragment of a tool call with only the fields that are given."""
    named = {"name": name, "arguments": arguments}
    function = {key: value for key, value in named.items() if value is not None}
    fields = {"index": index, "id": id, "function": function or None, **more}
    return {key: value for key, value in fields.items() if value is not None}


def calls(*fragments, together=False):
    """Return (id, name, arguments) of the calls that `fragments` add up to."""
    deltas = [{"tool_calls": list(fragments)}] if together else None
    summed = message(*(deltas or [{"tool_calls": [fragment]} for fragment in fragments]))
    assert all(whole["type"] == "function" for whole in summed["tool_calls"])
    return [
        (whole["id"], whole["function"]["name"], whole["function"]["arguments"])
        for whole in summed["tool_calls"]
    ]


# The shape of the whole


def test_the_sum_has_the_shape_of_a_chat_completion():
    top = {"created": 17, "model": "m", "system_fingerprint": "fp", "service_tier": "default"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    completion = stream_chunk_builder(
        [
            chunk({"role": "assistant", "content": ""}, usage=None, **top),
            chunk({"content": "Hello"}, usage=None, **top),
            chunk({"content": " world"}, usage=None, **top),
            chunk({}, finish="stop", usage=None, **top),
            chunk(usage=usage, **top),
        ]
    )
    assert type(completion) is Completion
    assert completion == {
        "id": "c1",
        "object": "chat.completion",
        **top,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello world"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": usage,
        "usage_source": "provider",
    }
    assert completion.choices[0].message.content == "Hello world"
    assert completion.usage.total_tokens == 3


def test_the_sum_of_no_chunks_is_none():
    assert stream_chunk_builder([]) is None


def test_litellms_other_arguments_are_accepted():
    built = stream_chunk_builder([chunk({"content": "a"})], messages=[{"role": "user"}], end_time=1)
    assert built.choices[0].message.content == "a"


def test_chunks_without_ids_and_dates_are_summed_too():
    completion = stream_chunk_builder([{"choices": [{"delta": {"content": "a"}}]}])
    assert (completion.id, completion.created, completion.model) == (None, None, None)
    assert completion.choices[0].index == 0
    assert completion.choices[0].message == {"role": "assistant", "content": "a"}


def test_a_missing_finish_reason_or_usage_is_none():
    completion = stream_chunk_builder([chunk({"content": "a"})])
    assert completion["choices"][0]["finish_reason"] is None
    assert completion["usage"] is None
    assert completion["usage_source"] == "missing"


def test_each_choice_is_summed_for_itself():
    completion = stream_chunk_builder(
        [
            chunk({"role": "assistant", "content": "A"}, index=0),
            chunk({"role": "assistant", "content": "a"}, index=2),
            chunk({"content": "B"}, index=0),
            chunk({"content": "?"}, index=1, finish="length"),
            chunk({"content": "b"}, index=2, finish="content_filter"),
            chunk({}, index=0, finish="stop"),
        ]
    )
    assert [
        (choice["index"], choice["message"]["content"], choice["finish_reason"])
        for choice in completion["choices"]
    ] == [(0, "AB", "stop"), (1, "?", "length"), (2, "ab", "content_filter")]


def test_choices_can_share_a_chunk():
    both = [{"index": i, "delta": {"content": text}} for i, text in ((1, "b"), (0, "a"))]
    completion = stream_chunk_builder([{"choices": both}, {"choices": both}])
    assert [c["message"]["content"] for c in completion["choices"]] == ["aa", "bb"]


# The top of the chunk


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        ("id", ["", "c1", "c2"], "c1"),  # Azure opens with blanks
        ("id", [None, "c1"], "c1"),
        ("created", [0, 1714036974, 1714036999], 1714036974),
        ("created", [0], 0),
        ("model", ["", "model-router", "gpt-5-nano"], "gpt-5-nano"),  # known once it is chosen
        ("model", ["m", "", None], "m"),
        ("system_fingerprint", [None, "fp_1", None], "fp_1"),
        ("service_tier", ["auto", "default"], "default"),
        ("object", ["", "chat.completion.chunk"], "chat.completion"),
        ("usage", [None, {"total_tokens": 3}, None], {"total_tokens": 3}),  # then a moderation
        ("usage", [{"total_tokens": 1}, {"total_tokens": 3}], {"total_tokens": 3}),  # continuous
        ("x_groq", [{"id": "r"}, None], {"id": "r"}),
        ("cost", [0.5, 0.0], 0.0),
    ],
)
def test_top_level_ids_are_the_first_and_other_fields_the_last(field, values, expected):
    chunks = [{"choices": [], field: value} for value in values]
    assert stream_chunk_builder(chunks)[field] == expected
    left, right = ChunkSum(), ChunkSum()
    left.add(chunks[0])
    for one in chunks[1:]:
        right.add(one)
    left.merge(right)
    assert left.completion()[field] == expected


def test_an_azure_stream_may_open_without_choices():
    completion = stream_chunk_builder(
        [
            {"choices": [], "created": 0, "id": "", "model": "", "object": "",
             "prompt_filter_results": [{"prompt_index": 0}]},
            {"choices": [{"index": 0, "delta": {"content": "Why"}, "content_filter_results": {}}],
             "created": 17, "id": "c1", "model": "gpt-35-turbo", "object": "chat.completion.chunk"},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                          "content_filter_results": {"hate": {"filtered": False}}}]},
            {"choices": [{"index": 0, "delta": None,
                          "content_filter_results": {"violence": {"filtered": False}}}]},
        ]
    )  # fmt: skip
    assert (completion.id, completion.created, completion.model) == ("c1", 17, "gpt-35-turbo")
    assert completion["object"] == "chat.completion"
    assert completion["prompt_filter_results"] == [{"prompt_index": 0}]
    [choice] = completion["choices"]
    assert choice["message"]["content"] == "Why"
    assert choice["finish_reason"] == "stop"
    assert choice["content_filter_results"] == {
        "hate": {"filtered": False},
        "violence": {"filtered": False},
    }


def test_padding_is_dropped_and_unknown_fields_are_kept():
    completion = stream_chunk_builder(
        [
            chunk({"content": "a", "x_list": [1], "x_text": "p"}, obfuscation="Qup1", x_top=1),
            chunk({"content": "b", "x_list": [2], "x_text": "q"}, obfuscation="yhj", x_top=2),
            chunk({"x_object": {"a": 1}}, choice={"stop_reason": None}.items()),
            chunk({"x_object": {"b": 2}}, choice={"stop_reason": 7}.items()),
            chunk({"x_number": 1}),
            chunk({"x_number": 2}),
        ]
    )
    assert "obfuscation" not in completion
    assert completion["x_top"] == 2
    assert completion["choices"][0]["stop_reason"] == 7
    assert completion["choices"][0]["message"] == {
        "role": "assistant",
        "content": "ab",
        "x_list": [1, 2],
        "x_text": "pq",
        "x_object": {"a": 1, "b": 2},
        "x_number": 2,
    }


# The delta, field by field


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([{"content": ""}, {"content": "a"}, {"content": None}], {"content": "a"}),
        ([{"content": None}, {}], {"content": None}),
        ([{"refusal": "I"}, {"refusal": " can't"}], {"content": None, "refusal": "I can't"}),
        (
            [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "a"}],
            {"content": "a", "reasoning_content": "hm"},
        ),
        (
            [{"content": [{"type": "text", "text": "a"}]}, {"content": [{"type": "x"}]}],
            {"content": [{"type": "text", "text": "a"}, {"type": "x"}]},
        ),
        (
            [{"annotations": [{"url": 1}]}, {"annotations": [{"url": 2}]}],
            {"content": None, "annotations": [{"url": 1}, {"url": 2}]},
        ),
        (
            [
                {"function_call": {"name": "f", "arguments": ""}},
                {"function_call": {"arguments": '{"x"'}},
                {"function_call": {"name": "", "arguments": ":1}"}},
            ],
            {"content": None, "function_call": {"name": "f", "arguments": '{"x":1}'}},
        ),
        (
            [{"reasoning_details": [{"text": "a"}]}, {"reasoning_details": []}],
            {"content": None, "reasoning_details": [{"text": "a"}]},
        ),
    ],
)
def test_every_field_of_the_delta_is_summed_in_its_own_way(deltas, expected):
    assert message(*deltas) == expected


def test_the_role_is_what_came_first_and_the_assistants_by_default():
    def role(*deltas):
        return stream_chunk_builder(map(chunk, deltas))["choices"][0]["message"]["role"]

    assert role({"role": "tool"}, {"role": "assistant"}, {"role": ""}) == "tool"
    assert role({"role": ""}, {"role": "model"}) == "model"
    assert role({"content": "a"}) == "assistant"


def test_audio_is_joined_as_bytes_not_as_text():
    pieces = [b"RIF", b"F\x00", b"", b"\xff" * 7]
    deltas = [{"audio": {"data": b64encode(piece).decode()}} for piece in pieces]
    deltas[0]["audio"] |= {"id": "au_1", "transcript": "Hel"}
    deltas[1]["audio"] |= {"transcript": "lo", "data": deltas[1]["audio"]["data"]}
    audio = message(*deltas, {"audio": {"expires_at": 99, "data": None}})["audio"]
    assert b64decode(audio["data"], validate=True) == b"".join(pieces)
    assert (audio["id"], audio["transcript"], audio["expires_at"]) == ("au_1", "Hello", 99)


def test_logprobs_are_joined():
    parts = [
        {"content": [{"token": "a"}], "refusal": None},
        {"content": [{"token": "b"}], "refusal": []},
        None,
        {"content": None, "refusal": [{"token": "no"}]},
    ]
    chunks = [chunk({}, choice={"logprobs": part}.items()) for part in parts]
    assert stream_chunk_builder(chunks)["choices"][0]["logprobs"] == {
        "content": [{"token": "a"}, {"token": "b"}],
        "refusal": [{"token": "no"}],
    }


def test_vllms_token_ids_are_joined():
    chunks = [chunk({}, choice={"token_ids": ids}.items()) for ids in ([1, 2], None, [3])]
    assert stream_chunk_builder(chunks)["choices"][0]["token_ids"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # Text, then its signature.
        (
            [{"thinking": "a"}, {"thinking": "b"}, {"thinking": "", "signature": "S"}],
            [{"thinking": "ab", "signature": "S"}],
        ),
        ([{"thinking": "a"}, {"thinking": "b"}], [{"thinking": "ab"}]),  # never signed
        # A signature closes a block, also where blocks have no index.
        (
            [{"thinking": "a"}, {"signature": "S"}, {"thinking": "b"}, {"signature": "T"}],
            [{"thinking": "a", "signature": "S"}, {"thinking": "b", "signature": "T"}],
        ),
        # An index parts blocks that were never signed.
        (
            [{"index": 0, "thinking": "a"}, {"index": 2, "thinking": "b"},
             {"index": 2, "thinking": "c"}],
            [{"thinking": "a"}, {"thinking": "bc"}],
        ),
        # Redacted blocks are whole, each of them.
        (
            [{"thinking": "a"}, {"type": "redacted_thinking", "data": "x"},
             {"type": "redacted_thinking", "data": "y"}, {"thinking": "b"}],
            [{"thinking": "a"}, {"type": "redacted_thinking", "data": "x"},
             {"type": "redacted_thinking", "data": "y"}, {"thinking": "b"}],
        ),
    ],
)  # fmt: skip
def test_thinking_blocks_are_joined_and_none_is_lost(pieces, expected):
    typed = [{"type": "thinking", **piece} for piece in pieces]
    summed = message(*[{"thinking_blocks": [piece]} for piece in typed])["thinking_blocks"]
    assert summed == [{"type": "thinking", **block} for block in expected]
    assert message({"thinking_blocks": typed})["thinking_blocks"] == summed


# Tool calls

TOOL_CALLS = {
    "OpenAI: the id first, then arguments": (
        [call(0, "a", "f", ""), call(0, arguments='{"x"'), call(0, arguments=":1}")],
        [("a", "f", '{"x":1}')],
    ),
    "two calls, one after the other": (
        [call(0, "a", "f", "{"), call(0, arguments="}"), call(1, "b", "g", "[]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "two calls, in turns": (
        [call(0, "a", "f", "{"), call(1, "b", "g", "["), call(0, arguments="}"),
         call(1, arguments="]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "index 0 for all, but other ids": (
        [call(0, "a", "f", "{"), call(0, arguments="}"), call(0, "b", "g", "["),
         call(0, arguments="]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "index 0 for all, and back to the first id": (
        [call(0, "a", "f", "{"), call(0, "b", "g", "["), call(0, "a", arguments="}"),
         call(0, "b", arguments="]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "one index, the id comes late": (
        [call(0, None, "f", "{"), call(0, "a", arguments="}")],
        [("a", "f", "{}")],
    ),
    "Mistral: whole calls without an index": (
        [call(None, "a", "f", "{}"), call(None, "b", "g", "[]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "no index, in pieces by id": (
        [call(None, "a", "f", "{"), call(None, "b", "g", "["), call(None, "a", arguments="}")],
        [("a", "f", "{}"), ("b", "g", "[")],
    ),
    "no index, no id: the newest goes on": (
        [call(None, "a", "f", "{"), call(arguments="}"), call(None, "b", "g", "["),
         call(arguments="]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "an index that some fragments lack": (
        [call(0, "a", "f", "{"), call(arguments='"x"'), call(0, arguments=":1}")],
        [("a", "f", '{"x":1}')],
    ),
    "an index that comes late": (
        [call(None, "a", "f", "{"), call(0, arguments="}"), call(1, "b", "g", "[]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "Kimi: id and name again on every fragment": (
        [call(0, "a", "f", "{"), call(0, "a", "f", '"x"'), call(0, "a", "f", ":1}")],
        [("a", "f", '{"x":1}')],
    ),
    "GLM: an empty name and id later": (
        [call(0, "a", "f", "{"), call(0, "", "", "}")],
        [("a", "f", "{}")],
    ),
    "TGI: arguments are an object": (
        [call(0, "a", "f", {"x": 1, "y": ["é"]})],
        [("a", "f", '{"x":1,"y":["é"]}')],
    ),
    "no arguments at all": ([call(0, "a", "f")], [("a", "f", "")]),
    "no id at all": ([call(0, None, "f", "{}"), call(1, None, "g", "[]")],
                     [(None, "f", "{}"), (None, "g", "[]")]),
}  # fmt: skip


@pytest.mark.parametrize("together", [False, True], ids=["a chunk each", "one chunk"])
@pytest.mark.parametrize(("fragments", "expected"), TOOL_CALLS.values(), ids=TOOL_CALLS)
def test_tool_calls_are_put_together(fragments, expected, together):
    assert calls(*fragments, together=together) == expected


def test_a_custom_tool_keeps_its_own_shape():
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "sel"}}
    rest = {"index": 0, "custom": {"input": "ect"}}
    assert message({"tool_calls": [first]}, {"tool_calls": [rest]})["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}}
    ]


def test_a_call_of_a_custom_tool_is_custom_also_if_no_fragment_says_so():
    first = {"index": 0, "id": "a", "custom": {"name": "sql", "input": "sel"}}
    rest = {"index": 0, "custom": {"input": "ect"}}
    assert message({"tool_calls": [first]}, {"tool_calls": [rest]})["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}}
    ]


@pytest.mark.parametrize(("finish", "arguments"), [("tool_calls", "{}"), (None, "")])
def test_a_call_without_arguments_has_an_empty_object_once_its_choice_has_ended(finish, arguments):
    chunks = [chunk({"tool_calls": [call(0, "a", "f")]}), chunk({}, finish=finish)]
    choice = stream_chunk_builder(chunks)["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": arguments}


def test_other_fields_of_a_tool_call_are_kept():
    extra = {"provider_specific_fields": {"thought_signature": "S"}, "x_zero": 0, "x_no": False}
    first = call(0, "a", "f", "{", **extra)
    first["function"]["x_strict"] = False
    [summed] = message({"tool_calls": [first]}, {"tool_calls": [call(0, arguments="}")]})[
        "tool_calls"
    ]
    function = {"name": "f", "arguments": "{}", "x_strict": False}
    assert summed == {"id": "a", "type": "function", "function": function, **extra}


# The monoid

TEXTS = st.text(max_size=3)
MAYBE = partial(st.sampled_from, [None, None])


def maybe(strategy):
    return st.none() | strategy


def some_of(**fields):
    """Objects that have any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


FRAGMENTS = some_of(
    index=maybe(st.integers(0, 1)),
    id=st.sampled_from([None, "", "a", "b"]),
    type=st.just("function"),
    function=some_of(name=st.sampled_from(["", "f"]), arguments=maybe(TEXTS)),
)
THINKING = st.fixed_dictionaries(
    {"type": st.sampled_from(["thinking", "redacted_thinking"])},
    optional={"thinking": TEXTS, "signature": st.just("S"), "index": st.integers(0, 1)},
)
TOKENS = st.lists(st.fixed_dictionaries({"token": TEXTS}), max_size=2)
DELTAS = some_of(
    role=st.sampled_from([None, "", "assistant"]),
    content=maybe(TEXTS) | st.lists(some_of(text=TEXTS), max_size=2),
    refusal=maybe(TEXTS),
    reasoning_content=TEXTS,
    tool_calls=st.lists(FRAGMENTS, max_size=2),
    function_call=some_of(name=st.just("f"), arguments=TEXTS),
    thinking_blocks=st.lists(THINKING, max_size=2),
    audio=some_of(data=st.binary(max_size=4).map(lambda b: b64encode(b).decode()), id=TEXTS),
    x_new=TEXTS | st.integers(0, 1) | st.lists(st.integers(-9, 9), max_size=2) | some_of(a=TEXTS),
)
FACTS = st.lists(TEXTS, max_size=2) | some_of(a=TEXTS, b=st.integers(0, 2), c=st.lists(TEXTS))
CHOICES = st.fixed_dictionaries(
    {"index": st.integers(0, 2)},
    optional={
        "delta": maybe(DELTAS),
        "finish_reason": st.sampled_from([None, "stop", "length"]),
        "logprobs": maybe(some_of(content=maybe(TOKENS), refusal=maybe(TOKENS))),
        "x_reason": st.integers(0, 9) | FACTS,
    },
)
CHUNKS = some_of(
    id=st.sampled_from([None, "", "c1", "c2"]),
    created=st.sampled_from([0, 1, 2]),
    model=st.sampled_from([None, "", "m", "n"]),
    object=st.sampled_from(["", "chat.completion.chunk"]),
    choices=maybe(st.lists(CHOICES, max_size=2)),
    usage=maybe(some_of(total_tokens=st.integers(0, 9))),
    obfuscation=TEXTS,
    x_top=TEXTS | FACTS,
)
STREAMS = st.lists(CHUNKS, max_size=12)


def total(chunks):
    summed = ChunkSum()
    for one in chunks:
        summed.add(one)
    return summed


@settings(max_examples=150)
@given(STREAMS, st.randoms(use_true_random=False))
def test_any_grouping_gives_the_same_completion(chunks, dice: random.Random):
    expected = total(chunks)
    parts = [total([one]) for one in chunks] + [ChunkSum() for _ in range(3)]
    for _ in range(3):  # empty sums anywhere change nothing
        parts.insert(dice.randrange(len(parts)), parts.pop())
    while len(parts) > 1:
        at = dice.randrange(len(parts) - 1)
        parts[at].merge(parts.pop(at + 1))
    assert parts[0].completion() == expected.completion()
    assert parts[0].count == expected.count == len(chunks)
    assert parts[0].usage == expected.usage
    assert parts[0].finish_reasons == expected.finish_reasons


@settings(max_examples=100)
@given(STREAMS)
def test_summing_mutates_neither_the_chunks_nor_the_sums_it_takes(chunks):
    before = copy.deepcopy(chunks)
    left, right = total(chunks[::2]), total(chunks[1::2])
    right_before = right.completion()
    left.merge(right)
    left.merge(right)
    left.add(chunk({"content": "more", "tool_calls": [call(0, "z", "h", "{}")]}))
    left.completion()
    assert chunks == before
    assert right.completion() == right_before


UNSIGNED = [{"type": "thinking", "thinking": "a", "index": 0}]
UNSIGNED += [{"type": "thinking", "thinking": "b", "index": 2}]


@settings(max_examples=150)
@given(STREAMS)
@example([chunk({"thinking_blocks": UNSIGNED})])
@example([chunk({"tool_calls": [call(0, None, "f", "{}"), call(1, None, "g", "{}")]})])
def test_a_completion_is_the_sum_of_the_one_chunk_made_of_it(chunks):
    completion = total(chunks).completion()
    made = completion_to_chunk(completion)
    assert made["object"] == "chat.completion.chunk"
    assert stream_chunk_builder([made]) == completion
    assert orjson.dumps(made)


def test_a_whole_completion_becomes_a_chunk():
    first, second = (call(None, id, "f", "{}", type="function") for id in "ab")
    made = completion_to_chunk(
        {
            "id": "c1",
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
                {"index": 1, "message": {"tool_calls": [first, second]}, "finish_reason": None},
            ],
            "usage": {"total_tokens": 1},
            "usage_source": "provider",
        }
    )
    assert made == {
        "id": "c1",
        "object": "chat.completion.chunk",
        "choices": [
            {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"},
            {
                "index": 1,
                "delta": {"tool_calls": [{"index": 0, **first}, {"index": 1, **second}]},
                "finish_reason": None,
            },
        ],
        "usage": {"total_tokens": 1},
    }


def test_the_reasons_of_all_choices_are_known_as_they_come():
    summed = ChunkSum()
    assert (summed.finish_reason, summed.finish_reasons) == (None, [])
    summed.add(chunk({"content": "a"}, index=1, finish="length"))
    assert (summed.finish_reason, summed.finish_reasons) == ("length", ["length"])
    summed.add(chunk({"content": "a"}, index=0))
    assert (summed.finish_reason, summed.finish_reasons) == (None, [None, "length"])
    summed.add(chunk({}, index=0, finish="stop"))
    assert (summed.finish_reason, summed.finish_reasons) == ("stop", ["stop", "length"])
    summed.add(chunk({}, index=0, finish="content_filter"))  # the last word
    assert summed.finish_reason == "content_filter"
    assert summed.completion().choices[0].finish_reason == "content_filter"


# Numbered chunks


def numbered(chunks):
    return [(seq, orjson.dumps(one)) for seq, one in enumerate(chunks)]


def sequenced(numbered):
    summed = SequencedSum()
    for seq, one in numbered:
        summed.add(seq, one)
    return summed


@settings(max_examples=100)
@given(STREAMS, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_give_the_same_completion(chunks, dice):
    known = numbered(chunks)
    arrived = known + dice.choices(known, k=len(known)) if known else []
    dice.shuffle(arrived)
    cut = dice.randrange(len(arrived) + 1)
    mixed, rest = sequenced(arrived[:cut]), sequenced(arrived[cut:])
    mixed.merge(rest)
    mixed.merge(SequencedSum())
    assert mixed.length == len(chunks)
    assert mixed.sum.completion() == total(chunks).completion()


@settings(max_examples=100)
@given(STREAMS, st.data())
def test_a_folded_sum_goes_on_as_if_it_had_all_chunks(chunks, data):
    cut = data.draw(st.integers(0, len(chunks)))
    summed = sequenced(numbered(chunks)[:cut])
    again = SequencedSum.of(summed.fold(), cut, {}, None)
    for half in (summed, again):
        for seq, one in numbered(chunks)[cut:]:
            half.add(seq, one)
        assert half.length == len(chunks)
        assert half.sum.completion() == total(chunks).completion()


def test_the_sum_stops_at_a_gap():
    [a, b, c, d] = numbered([chunk({"content": text}) for text in "abcd"])
    summed = sequenced([a, d, b])
    assert summed.length == 2
    assert summed.sum.completion().choices[0].message.content == "ab"
    assert len(summed.add(*c)) == 2
    assert summed.sum.completion().choices[0].message.content == "abcd"


def test_without_its_first_chunk_a_sum_is_empty():
    summed = sequenced(numbered([chunk({"content": text}) for text in "ab"])[1:])
    assert (summed.length, summed.sum.count) == (0, 0)


def test_a_sum_is_whole_with_its_final_chunk_and_all_before_it():
    summed = SequencedSum()
    summed.add(1, b"{}", final=True)
    assert not summed.is_whole
    summed.add(0, b"{}")
    assert summed.is_whole


def test_the_first_chunk_with_a_number_is_kept():
    summed = sequenced([(0, b'{"id":"first"}'), (0, b'{"id":"second"}')])
    summed.merge(sequenced([(0, b'{"id":"third"}')]))
    assert summed.sum.completion().id == "first"


def test_text_and_bytes_of_json_are_both_taken():
    assert sequenced([(0, '{"id":"é"}')]).sum.completion().id == "é"


@pytest.mark.parametrize("odd", [b"no JSON", b"[]", b'{"choices":[5]}'])
def test_a_sum_with_an_unreadable_chunk_is_never_whole(odd):
    summed = SequencedSum()
    with pytest.raises(ValueError, match="unreadable chunk"):
        summed.add(0, odd)
    summed.add(1, b"{}", final=True)
    summed.add(0, b"{}")
    assert not summed.is_whole


def test_the_newest_of_several_attempts_counts():
    first = [Chunk(chunk({"content": text})).number(1, seq) for seq, text in enumerate("ab")]
    second = [Chunk(chunk({"content": text})).number(2, seq) for seq, text in enumerate("xyz")]
    assert stream_chunk_builder(first + second).choices[0].message.content == "xyz"
    assert stream_chunk_builder(first).choices[0].message.content == "ab"


def test_merged_sums_stay_independent():
    left, right = sequenced(numbered([chunk({"content": "a"})])), SequencedSum()
    right.merge(left)
    right.add(1, orjson.dumps(chunk({"content": "b"})))
    assert (left.length, right.length) == (1, 2)
    assert left.sum.completion().choices[0].message.content == "a"


def fragments(*parts):
    """Return the calls that fragments with neither index nor id come to."""
    deltas = [{"tool_calls": [{"function": part}]} for part in parts]
    whole = stream_chunk_builder([{"choices": [{"index": 0, "delta": each}]} for each in deltas])
    called = [call["function"] for call in whole["choices"][0]["message"]["tool_calls"]]
    return [(call["name"], call["arguments"]) for call in called]


def test_fragments_with_neither_index_nor_id_continue_the_newest_call():
    parts = [{"name": "f", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": "1}"}]
    assert fragments(*parts) == [("f", '{"a":1}')]
    repeated = [{"name": "f", "arguments": ""}, {"name": "f", "arguments": "{"}, {"arguments": "}"}]
    assert fragments(*repeated) == [("f", "{}")]


def test_with_neither_index_nor_id_a_new_name_or_the_same_again_is_another_call():
    one, two = {"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "{}"}
    assert fragments(one, two) == [("f", "{}"), ("g", "{}")]
    assert fragments(one, one) == [("f", "{}"), ("f", "{}")]
    assert fragments({"name": "f"}, two) == [("f", ""), ("g", "{}")]
