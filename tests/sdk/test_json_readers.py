"""Other readers of JSON agree with ours: ijson, which takes pieces too, and jiter."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm.structured.elements import ElementReader
from ritellm.structured.errors import JsonError

ijson = pytest.importorskip("ijson")
jiter = pytest.importorskip("jiter")

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
# ijson's yajl takes the least integer of 64 bits for an overflow.
INTEGERS = st.integers(1 - 2**63, 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
CUTS = st.lists(st.integers(0, 10_000), max_size=8)
# Almost JSON: its characters and words, in any order.
WORDS = st.sampled_from([*'{}[]:,"\\/ -+.eE012', r"\ud83d", r"\ude00", '"a"', "null", "true", "é"])


def pieces_of(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def ours(path, pieces):
    reader = ElementReader(path)
    found = [element.value for piece in pieces for element in reader.elements(piece)]
    reader.close()
    return found + [element.value for element in reader.taken()]


def of_ijson(pieces):
    found = ijson.sendable_list()
    coroutine = ijson.items_coro(found, "items.item", use_float=True)
    for piece in filter(None, pieces):  # an empty one means the end
        coroutine.send(piece)
    coroutine.close()
    return list(found)


@settings(max_examples=500, deadline=None)
@given(st.lists(VALUES, max_size=4), CUTS, st.booleans())
def test_ijson_finds_the_same_elements_at_the_same_cuts(items, cuts, as_ascii):
    data = json.dumps({"a": [items], "items": items}, ensure_ascii=as_ascii).encode()
    pieces = pieces_of(data, cuts)
    assert (
        repr(ours("$.items[*]", pieces))
        == repr(of_ijson(pieces))
        == repr(json.loads(data)["items"])
    )


@settings(max_examples=500, deadline=None)
@given(VALUES, CUTS)
def test_jiter_reads_the_same_value(value, cuts):
    data = json.dumps(value).encode()
    assert repr(ours("$", pieces_of(data, cuts))) == repr(
        [jiter.from_json(data, allow_inf_nan=False)]
    )


@settings(max_examples=1000, deadline=None)
@given(st.lists(WORDS, max_size=12).map("".join), CUTS)
def test_what_ours_accepts_jiter_accepts(text, cuts):
    data = text.encode()
    try:
        found = ours("$", pieces_of(data, cuts))
    except JsonError:
        return
    assert repr(found) == repr([jiter.from_json(data, allow_inf_nan=False)])
