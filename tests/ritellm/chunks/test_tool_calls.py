"""Tool calls from fragments, by the ways in which servers number and name them."""

from __future__ import annotations

import json
import random

import pytest

from ritellm.chunks import ChunkSum, stream_chunk_builder


def fragment(arguments=None, *, index=0, id=None, name=None):
    function = {"arguments": arguments, **({} if name is None else {"name": name})}
    return {"index": index, "id": id, "type": "function", "function": function}


def without_index(piece):
    return {key: value for key, value in piece.items() if key != "index"}


def chunks_of(*fragments, reason="tool_calls"):
    deltas = [{"delta": {"tool_calls": [each]}} for each in fragments]
    return [{"choices": [{"index": 0, **each}]} for each in deltas] + [
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    ]


def calls(*fragments, **options):
    summed = stream_chunk_builder(chunks_of(*fragments, **options))
    found = summed["choices"][0]["message"]["tool_calls"]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in found]


def fresh(*pieces, start=0, index=0, blank=""):
    """Return fragments of which each has an id of its own, and only the first a name."""
    name, *texts = pieces
    head = fragment("", id=f"id{start}", name=name, index=index)
    return [head] + [
        fragment(text, id=f"id{start + number}", name=blank, index=index)
        for number, text in enumerate(texts, 1)
    ]


@pytest.mark.parametrize("blank", ["", None])
def test_fragments_with_fresh_ids_and_no_name_are_one_call(blank):
    pieces = fresh("f", '{"a"', ":1", "}", blank=blank)
    assert calls(*pieces) == [("id0", "f", '{"a":1}')]
    assert calls(*map(without_index, pieces)) == [("id0", "f", '{"a":1}')]


def test_a_fresh_id_with_a_name_begins_another_call_under_the_same_index():
    pieces = fresh("f", '{"a"', ":1}") + fresh("g", '{"b"', ":2}", start=7)
    assert calls(*pieces) == [("id0", "f", '{"a":1}'), ("id7", "g", '{"b":2}')]
    again = fresh("f", "{}") + fresh("f", "{}", start=7)
    assert calls(*again) == [("id0", "f", "{}"), ("id7", "f", "{}")]


def test_fragments_with_fresh_ids_stay_with_their_index():
    first, second = fresh("f", '{"a"', ":1}"), fresh("g", '{"b"', ":2}", start=7, index=1)
    turns = [piece for pair in zip(first, second, strict=True) for piece in pair]
    assert calls(*turns) == [("id0", "f", '{"a":1}'), ("id7", "g", '{"b":2}')]


def test_a_name_may_come_under_a_second_id_before_any_arguments():
    pieces = [fragment("", id="a", name=""), fragment("", id="b", name="f"), fragment("{}", id="c")]
    assert calls(*pieces) == [("a", "f", "{}")]


def test_fragments_in_turns_go_by_their_ids_under_one_index():
    pieces = [
        fragment("", id="a", name="f"),
        fragment("", id="b", name="g"),
        fragment("{1", id="a", name=""),
        fragment("{2", id="b", name=""),
        fragment("}", id="a"),
        fragment("}", id="b"),
    ]
    assert calls(*pieces) == [("a", "f", "{1}"), ("b", "g", "{2}")]


def test_a_call_without_arguments_has_empty_ones_once_it_is_complete():
    head = fragment("", id="a", name="now")
    assert calls(head) == [("a", "now", "{}")]
    assert calls({**head, "function": {"name": "now"}}) == [("a", "now", "{}")]
    assert calls(head, reason=None) == [("a", "now", "")]


def test_a_custom_call_without_a_type_is_custom():
    pieces = [
        {"index": 0, "id": "a", "custom": {"name": "f", "input": "te"}},
        {"index": 0, "custom": {"input": "xt"}},
    ]
    (call,) = stream_chunk_builder(chunks_of(*pieces))["choices"][0]["message"]["tool_calls"]
    assert call == {"id": "a", "type": "custom", "custom": {"name": "f", "input": "text"}}


def test_calls_do_not_depend_on_which_chunks_are_merged_first():
    chunks = chunks_of(*fresh("f", '{"a"', ":1}"), *fresh("g", '{"b"', ":2}", start=7))
    expected = json.dumps(stream_chunk_builder(chunks))
    for seed in range(20):
        cut = random.Random(seed).randrange(len(chunks))
        parts = []
        for part in (chunks[:cut], chunks[cut:]):
            total = ChunkSum()
            for chunk in part:
                total.add(chunk)
            parts.append(total.chunk())
        assert json.dumps(stream_chunk_builder(parts)) == expected
