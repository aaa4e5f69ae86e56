"""Events that repeat the one before except for their text give the same chunks as parsing."""

from __future__ import annotations

import json
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.calls.body import _SSEBody
from ritellm.chunks import ChunkSum
from ritellm.chunks.run import Run, expanded
from ritellm.chunks.sum import merge_chunks
from ritellm.errors import RitellmError
from ritellm.types import Chunk
from ritellm.wire.framing.sse import SSE
from ritellm.wire.openai_chat import decoder
from ritellm.wire.openai_chat.decoder import OpenAIChatDecoder
from ritellm.wire.openai_chat.repeats import Repeats

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(text, name="content", head=HEAD, compact=True, padding=None, **choice):
    choices = [
        {"index": 0, "delta": {name: text}, "logprobs": None, "finish_reason": None, **choice}
    ]
    tail = {} if padding is None else {"usage": None, "obfuscation": padding}
    separators = (",", ":") if compact else (", ", ": ")
    data = json.dumps({**head, "choices": choices, **tail}, separators=separators)
    return data.encode()


def decoded(events, monkeypatch=None):
    """Return the chunks of `events`, and how many of them were parsed."""
    parsed = []

    def parse(data):
        parsed.append(data)
        return plain_parse(data)

    plain_parse = decoder.parse_json
    body, pieces = _SSEBody(SSE(), OpenAIChatDecoder()), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "parse_json", parse)
        for data in events:
            try:
                body.feed(b"data: %b\n\n" % data, pieces)
            except RitellmError as error:
                pieces.append(Chunk(error=str(error)))
    return expanded(pieces), len(parsed)


def parsed_all(events):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Repeats, "take", lambda self, block, at: (None, at))
        chunks, parsed = decoded(events)
    assert parsed == len(events)
    return chunks


def read_in_blocks(events, sizes):
    """Return what a body of `events` holds, so many of them in each piece; and its sum."""
    body, pieces, at = _SSEBody(SSE(), OpenAIChatDecoder()), [], 0
    total = ChunkSum()
    for size in [*sizes, len(events)]:
        block = b"".join(b"data: %b\n\n" % data for data in events[at : at + size])
        body.feed(block, pieces)
        at += size
    for piece in pieces:
        if isinstance(piece, Run):
            total.add_run(piece)
        else:
            total.add(piece)
    return pieces, total.completion()


def summed(chunks):
    total = ChunkSum()
    for chunk in chunks:
        total.add(chunk)
    return total.completion()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("name", ["content", "reasoning_content"])
def test_only_the_first_two_of_a_kind_are_parsed(name, compact, padded):
    words = ["one", " two", "", " drei €", " \U0001f600", "\u00a0"]
    events = [
        event(word, name, compact=compact, padding="aZ09"[: 1 + n % 4] if padded else None)
        for n, word in enumerate(words)
    ]
    chunks, parsed = decoded(events)
    assert chunks == parsed_all(events)
    assert parsed <= 2 + padded  # a blank in JSON's middle is no padding of OpenAI's


@pytest.mark.parametrize(
    "text", ['"', "\\", "\n", '",', '"}', "\u2028", "\x7f", "a\\", "\ud83d\ude00"]
)
@pytest.mark.parametrize("padding", [None, "x1"])
def test_escaped_text_is_unescaped(text, padding):
    events = [event(each, padding=padding) for each in ("one", text, "two", text + text)]
    assert decoded(events)[0] == parsed_all(events)


BAD = {
    "half an escape": b"a\\",
    "an escape that is none": b"\\x",
    "a quote": b'a"b',
    "a control character": b"a\x01b",
    "a string and more": b'a","b":"c',
    "no UTF-8": b"a\xff",
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_invalid_json_gives_the_same_error_as_before(raw):
    events = [event("one"), event("two").replace(b"two", raw), event("three")]
    assert decoded(events)[0] == parsed_all(events)


OTHERS = {
    "another model": event("x", head={**HEAD, "model": "n"}),
    "a finish": event("x", finish_reason="stop"),
    "logprobs": event("x", logprobs={"content": []}),
    "another choice": event("x", index=1),
    "two texts": event("x", delta={"content": "x", "reasoning_content": "y"}),
    "nothing": b"{}",
    "an error": b'{"error":{"message":"no"}}',
    "another key": event("x", name="refusal"),
    "a longer end": event("x") + b" ",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_an_event_of_another_kind_is_parsed(other):
    events = [event("one"), event("two"), other, event("three"), event("four")]
    chunks, parsed = decoded(events)
    assert chunks == parsed_all(events)
    assert parsed >= 2


def test_alternating_choices_are_kept_apart():
    events = [event(f"word {n}", index=n % 3) for n in range(60)]
    assert decoded(events)[0] == parsed_all(events)


def counted(monkeypatch, name):
    """Have calls of a method of Repeats counted; return the list that grows."""
    plain, calls = getattr(Repeats, name), []
    monkeypatch.setattr(Repeats, name, lambda *a, **k: calls.append(a) or plain(*a, **k))
    return calls


def test_learning_stops_in_a_stream_of_many_kinds(monkeypatch):
    learnt = counted(monkeypatch, "_cut")
    decoded([event("x", head={**HEAD, "created": n}) for n in range(50)])
    assert len(learnt) < 10


def test_a_block_with_one_mismatch_is_not_read_event_by_event(monkeypatch):
    tried = counted(monkeypatch, "_read")
    odd = event("x").replace(b'"x"', b'"x","refusal":"y"')
    events = [event(f"word {n}") for n in range(100)]
    pieces, _ = read_in_blocks([*events, odd, *events], [])
    assert len(tried) < 40
    assert expanded(pieces) == parsed_all([*events, odd, *events])


def test_chunks_share_nothing_that_a_caller_could_change():
    first, second = decoded([event("one"), event("two"), event("three")])[0][1:]
    first["choices"][0]["delta"]["content"] = first["choices"][0]["index"] = "changed"
    first["model"] = "changed"
    assert second == parsed_all([event("three")])[0]


@pytest.mark.parametrize("padding", [None, "aZ09"])
def test_events_that_come_together_are_one_run(padding):
    words = ["one", " two", ' "three"', "\u2028", ""]
    events = [event(word, padding=padding) for word in ["0", "1", *words]]
    (first, second, run), total = read_in_blocks(events, [1, 1])
    assert isinstance(run, Run)
    assert run.texts == words
    assert [first, second, *run] == parsed_all(events)
    assert total == summed(parsed_all(events))


def test_events_between_a_head_and_an_end_in_one_block_are_one_run():
    head, end = event("", role="assistant"), event("x", finish_reason="stop")
    events = [head, *[event(f"word {n}") for n in range(9)], end]
    pieces, total = read_in_blocks(events, [])
    (run,) = [piece for piece in pieces if isinstance(piece, Run)]
    assert len(run) >= 7
    assert expanded(pieces) == parsed_all(events)
    assert total == summed(parsed_all(events))


def test_an_event_that_matches_but_is_invalid_does_not_harm_its_neighbours():
    spoilt = event("x").replace(b"x", b"a\\")
    events = [*[event(f"word {n}") for n in range(4)], spoilt]
    body, pieces = _SSEBody(SSE(), OpenAIChatDecoder()), []
    with pytest.raises(RitellmError):
        body.feed(b"".join(b"data: %b\n\n" % data for data in events), pieces)
    assert expanded(pieces) == parsed_all(events[:-1])


def test_nothing_after_the_terminator_is_read():
    events = [event("one"), event("two"), event("three"), b"[DONE]", event("four")]
    pieces, _ = read_in_blocks(events, [])
    assert expanded(pieces) == parsed_all(events[:3])


@pytest.mark.parametrize("other", sorted(set(OTHERS) - {"nothing", "an error"}))
@pytest.mark.parametrize("at", range(4))
def test_an_event_of_another_kind_in_a_block_is_parsed(other, at):
    events = [event(f"word {n}") for n in range(4)]
    events.insert(at, OTHERS[other])
    pieces, total = read_in_blocks([event("first"), *events], [1])
    assert expanded(pieces) == parsed_all([event("first"), *events])
    assert total == summed(parsed_all([event("first"), *events]))


def test_a_field_between_two_runs_of_one_kind_is_not_repeated_after_them():
    texts = [event("_"), event("a"), event("b")]
    events = [*texts, event("c", head={**HEAD, "model": "n"}), event("d")]
    (*_, run, other, _), _ = read_in_blocks(events, [1, 1, 1, 1])
    total = ChunkSum()
    total.add_run(run)
    total.add(other)
    total.add_run(Run(run.kind, ["d"]))
    assert total.completion()["model"] == "m"
    assert total.completion()["choices"][0]["message"]["content"] == "bcd"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_block_with_overlapping_ends_is_not_a_chunk(cut):
    """Both what stands before a text and what stands behind it are there, one over the other."""
    decoder = OpenAIChatDecoder()
    data = event("one")
    decoder.decode(("", data), [])
    decoder.decode(("", data), [])
    before, after = data[: data.index(b"one")], data[data.index(b"one") + 3 :]
    whole = b"data: " + before + after + b"\n\n"
    assert decoder.repeats.take(whole, 0) == (ANY, len(whole))
    assert decoder.repeats.take(b"data: " + before + after[cut:] + b"\n\n", 0) == (None, 0)


EVENTS = st.builds(
    event,
    st.text(max_size=8) | st.sampled_from(['"', "\\", '","']),
    name=st.sampled_from(["content"] * 5 + ["reasoning_content", "refusal"]),
    head=st.sampled_from([HEAD] * 5 + [{**HEAD, "created": 2}]),
    compact=st.sampled_from([True] * 5 + [False]),
    padding=st.sampled_from([None] * 3 + ["ab", "c9"]),
    finish_reason=st.sampled_from([None] * 9 + ["stop"]),
)


@given(st.lists(EVENTS, max_size=12), st.lists(st.integers(1, 5), max_size=6))
def test_events_in_blocks_of_any_size_are_read_as_if_parsed(events, sizes):
    expected = parsed_all(events)
    pieces, total = read_in_blocks(events, sizes)
    assert expanded(pieces) == expected
    assert total == summed(expected)
    if pieces:
        (merged,) = expanded([merge_chunks(pieces)])
        assert summed([merged]) == summed(expected)


@given(st.lists(EVENTS, max_size=12))
def test_any_stream_is_read_and_summed_as_if_it_were_parsed(events):
    chunks, _ = decoded(events)
    expected = parsed_all(events)
    assert chunks == expected
    assert list(map(list, chunks)) == list(map(list, expected))  # the order of the fields too
    assert summed(chunks) == summed(expected)
