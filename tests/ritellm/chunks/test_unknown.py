"""Fields that the client does not know: nothing that arrives in them is lost."""

from __future__ import annotations

import json

import pytest

from ritellm.chunks import ChunkSum, stream_chunk_builder

ONE, TWO = {"cited_text": "one", "document_index": 0}, {"cited_text": "two", "document_index": 0}


def chunks_of(*values, name="odd"):
    return [{"choices": [{"index": 0, "delta": {name: value}}]} for value in values]


def summed(*values, name="odd"):
    """Return the sum of an unknown field, which must not depend on which chunks are merged."""
    chunks = chunks_of(*values, name=name)
    expected = stream_chunk_builder(chunks)["choices"][0]["message"][name]
    for cut in range(1, len(chunks)):
        parts = []
        for part in (chunks[:cut], chunks[cut:]):
            total = ChunkSum()
            for chunk in part:
                total.add(chunk)
            parts.append(total.chunk())
        assert stream_chunk_builder(parts)["choices"][0]["message"][name] == expected
    return expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Different values under one key are collected, equal ones count once.
        ([{"citation": ONE}, {"citation": TWO}], {"citation": [ONE, TWO]}),
        ([{"c": ONE}, {"c": TWO}, {"c": ONE}], {"c": [ONE, TWO, ONE]}),
        ([{"c": ONE}, {"c": ONE}, {"c": TWO}], {"c": [ONE, TWO]}),
        ([{"citation": ONE}, {"citation": ONE}], {"citation": ONE}),
        ([{"a": 1}, {"a": 2}], {"a": [1, 2]}),
        ([{"a": 1}, {"a": 1}, {"a": 1}], {"a": 1}),
        ([{"a": 1}, {"a": True}], {"a": [1, True]}),
        ([{"kind": "x"}, {"kind": "x"}], {"kind": "x"}),
        ([{"kind": "x"}, {"kind": "y"}], {"kind": ["x", "y"]}),
        ([{"a": {"x": 1}}, {"a": [2]}], {"a": [{"x": 1}, 2]}),
        ([{"a": 1}, {"b": 2}, {"a": None}], {"a": 1, "b": 2}),
        ([{"a": None}, {"a": None}], {"a": None}),
        # Lists are extended.
        ([{"citations": [[1]]}, {"citations": [[2]]}], {"citations": [[1], [2]]}),
        ([{"citations": [[1]]}, {"citations": [[1]]}], {"citations": [[1], [1]]}),
        # Text is joined, even if its parts are equal.
        ([{"text": "ha"}, {"text": "ha"}, {"text": "!"}], {"text": "haha!"}),
        (
            [{"note": {"type": "n", "text": "Hel"}}, {"note": {"type": "n", "text": "lo"}}],
            {"note": {"type": "n", "text": "Hello"}},
        ),
        (
            [{"note": {"type": "n", "text": "a"}}, {"note": {"type": "m", "text": "b"}}],
            {"note": [{"type": "n", "text": "a"}, {"type": "m", "text": "b"}]},
        ),
        # What a provider sends as its newest state replaces the older one.
        ([{"safetyRatings": [1]}, {"safetyRatings": [2]}], {"safetyRatings": [2]}),
        ([{"stop_reason": "a"}, {"stop_reason": "b"}], {"stop_reason": "b"}),
    ],
)
def test_objects_are_summed_by_their_keys(values, expected):
    assert summed(*values) == expected


def text(text, index=0, **fields):
    return {"type": "reasoning.text", "text": text, "format": "f", "index": index, **fields}


def signed(signature, index=0):
    return {"type": "reasoning.text", "signature": signature, "format": "f", "index": index}


ENCRYPTED = {"type": "reasoning.encrypted", "data": "E", "id": "x", "index": 0}


@pytest.mark.parametrize(
    ("pieces", "blocks"),
    [
        ([text("Let"), text(" me"), signed("S")], [text("Let me", signature="S")]),
        ([text("ha"), text("ha")], [text("haha")]),
        ([text("a"), text("b", 1), text("c"), text("d", 1)], [text("ac"), text("bd", 1)]),
        ([text("a"), signed("S"), text("b"), signed("T")], [
            text("a", signature="S"), text("b", signature="T")
        ]),
        ([text("a"), ENCRYPTED, text("b")], [text("a"), ENCRYPTED, text("b")]),
        ([text("a", id="1"), text("b", id="2")], [text("a", id="1"), text("b", id="2")]),
        ([text("a", signature=None), text("b", signature="")], [text("ab", signature="")]),
        ([{"index": 0, "n": 1}, {"index": 0, "n": 2}],
         [{"index": 0, "n": 1}, {"index": 0, "n": 2}]),
        ([{"text": "a"}, {"text": "b"}], [{"text": "a"}, {"text": "b"}]),
        ([{"index": 0, "odd": "a"}, {"index": 0, "odd": "b"}], [{"index": 0, "odd": "ab"}]),
        ([1, "a", None, [2]], [1, "a", None, [2]]),
    ],
)  # fmt: skip
def test_pieces_of_a_block_are_joined(pieces, blocks):
    assert summed(*[[piece] for piece in pieces]) == blocks
    assert summed(pieces) == blocks
    assert summed(*[{"deep": [piece]} for piece in pieces]) == {"deep": blocks}


def regrouped(chunks, read):
    """Return what `read` finds in the sum, which must not depend on which chunks are merged."""
    expected = read(stream_chunk_builder(chunks))
    for cut in range(1, len(chunks)):
        left, right = ChunkSum(), ChunkSum()
        for chunk in chunks[:cut]:
            left.add(chunk)
        for chunk in chunks[cut:]:
            right.add(chunk)
        assert read(stream_chunk_builder([left.chunk(), right.chunk()])) == expected
        left.merge(right)
        assert read(left.completion()) == expected
    return expected


URLS = {"citations": ["a"]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # The keys of an object may arrive in different chunks.
        ([{"id": 1}, {"b": 2}], {"id": 1, "b": 2}),
        # Lists are united: a chunk may bring something new, or repeat all that came before.
        ([["a"], ["b"]], ["a", "b"]),
        ([["a"], ["a", "b"], ["a", "b", "c"]], ["a", "b", "c"]),
        ([["a"], ["a"], ["b"], ["a"]], ["a", "b"]),
        ([[{"url": "a", "n": 1}], [{"n": 1, "url": "a"}, {"url": "b"}]],
         [{"url": "a", "n": 1}, {"url": "b"}]),
        ([[5, 5, 7], [5, 5, 7]], [5, 5, 7]),
        ([[1 << 70], [2]], [1 << 70, 2]),
        # Texts in objects are different facts, numbers in them are newer counts.
        ([{"c": {"url": "a"}}, {"c": {"url": "b"}}], {"c": {"url": ["a", "b"]}}),
        ([{"kind": "x", "n": 1}, {"kind": "x", "n": 2}], {"kind": "x", "n": 2}),
        ([{"tokens": 1, "ms": 2.5}, {"tokens": 2, "ms": 1.5}], {"tokens": 2, "ms": 1.5}),
        ([{"ok": True}, {"ok": False}], {"ok": False}),
        ([{"deep": URLS}, {"deep": {"citations": ["b"]}}], {"deep": {"citations": ["a", "b"]}}),
        ([{"safetyRatings": [1]}, {"safetyRatings": [2]}], {"safetyRatings": [2]}),
        ([{"a": None}, {"a": None}], {"a": None}),
        # A text or a number of its own is a fact that was said again.
        (["a", "b"], "b"),
        ([1, 2], 2),
        # A server that changes the kind.
        ([1, {"a": 1}, 2], {"a": 1}),
        ([{"a": 1}, ["b"], {"c": 1}], ["b"]),
    ],
)  # fmt: skip
def test_facts_beside_the_choices_and_beside_the_delta_are_kept(values, expected):
    chunks = [{"choices": [], "x": value} for value in values]
    assert regrouped(chunks, lambda completion: completion["x"]) == expected
    if not any(isinstance(value, list) for value in values):
        chunks = [{"choices": [{"index": 0, "delta": {}, "x": value}]} for value in values]
        assert regrouped(chunks, lambda completion: completion["choices"][0]["x"]) == expected


def test_lists_beside_the_delta_are_extended():
    values = [[5], [5], [{"index": 0, "text": "He"}], [{"index": 0, "text": "llo"}]]
    chunks = [{"choices": [{"index": 0, "delta": {}, "x_ids": value}]} for value in values]
    found = regrouped(chunks, lambda completion: completion["choices"][0]["x_ids"])
    assert found == [5, 5, {"index": 0, "text": "Hello"}]


def test_facts_that_alternate_are_each_kept_once():
    chunks = [{"choices": [], "x": {"a": "bc"[n % 2]}, "y": [n % 3]} for n in range(90)]
    summed = stream_chunk_builder(chunks)
    assert (summed["x"], summed["y"]) == ({"a": ["b", "c"]}, [0, 1, 2])


def test_values_of_mixed_types_are_kept():
    assert summed({"a": 1}, ["b"], "c") == [{"a": 1}, "b", "c"]
    assert summed(1, 2) == 2


@pytest.mark.parametrize("deep", [300, 900])
def test_values_that_are_nested_deeply_are_kept(deep):
    value = json.loads("[" * deep + "]" * deep)
    assert summed({"a": {"x": value}}, {"a": {"x": 1}}) == {"a": [{"x": value}, {"x": 1}]}
