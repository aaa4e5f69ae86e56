"""Server-sent events: the events do not depend on where the bytes are cut."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ritellm.wire.framing.sse import SSE

BOM = b"\xef\xbb\xbf"
EMOJI = "\N{GRINNING FACE}é中".encode()
# Line ends of Unicode that are none in SSE: NEL, LS, PS, VT, FF, and the file separators.
NO_NEWLINES = "a\x85b\u2028c\u2029d\x0be\x0cf\x1cg\x1dh\x1ei".encode()

Events = list[tuple[str, bytes]]


def frame(*pieces: bytes) -> Events:
    sse = SSE()
    events = [event for piece in pieces for event in sse.feed(piece)]
    return events + sse.eof()


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


# name: (lines joined by the newline under test, events). "" is a blank line.
CASES: dict[str, tuple[list[bytes], Events]] = {
    "one event": ([b"data: a", b"", b""], [("", b"a")]),
    "two events": ([b"data: a", b"", b"data: b", b"", b""], [("", b"a"), ("", b"b")]),
    "no space": ([b"data:a", b"", b""], [("", b"a")]),
    "one space of two goes": ([b"data:  a", b"", b""], [("", b" a")]),
    "tab stays": ([b"data:\ta", b"", b""], [("", b"\ta")]),
    "colons in the value": ([b'data: {"a":"b:c"}', b"", b""], [("", b'{"a":"b:c"}')]),
    "data on several lines": ([b"data: {", b"data:1", b"data: }", b"", b""], [("", b"{\n1\n}")]),
    "an empty line of data": ([b"data: a", b"data:", b"data: b", b"", b""], [("", b"a\n\nb")]),
    "data: alone": ([b"data:", b"", b"data: a", b"", b""], [("", b"a")]),
    "data: and a space": ([b"data: ", b"", b"data: a", b"", b""], [("", b"a")]),
    "data without a colon": ([b"data", b"", b"data: a", b"", b""], [("", b"a")]),
    "comment": ([b": ping", b"", b"data: a", b"", b""], [("", b"a")]),
    "comment inside": ([b"data: a", b": ping", b"data: b", b"", b""], [("", b"a\nb")]),
    "comment right before": ([b": ping", b"data: a", b"", b""], [("", b"a")]),
    "bare colon": ([b":", b"", b"data: a", b"", b""], [("", b"a")]),
    "id only": ([b"id: 7", b"", b"data: a", b"", b""], [("", b"a")]),
    "retry only": ([b"retry: 3000", b"", b"data: a", b"", b""], [("", b"a")]),
    "event only": ([b"event: ping", b"", b"data: a", b"", b""], [("", b"a")]),
    "id, retry and data": ([b"id: 7", b"retry: 1", b"data: a", b"", b""], [("", b"a")]),
    "unknown field": ([b"model: m", b"data: a", b"", b""], [("", b"a")]),
    "field names have a case": ([b"Data: x", b"DATA: y", b"data: a", b"", b""], [("", b"a")]),
    "a field that begins like data": ([b"database: x", b"data: a", b"", b""], [("", b"a")]),
    "named event": ([b"event: error", b"data: a", b"", b""], [("error", b"a")]),
    "name after the data": ([b"data: a", b"event: x", b"", b""], [("x", b"a")]),
    "the last name counts": ([b"event: x", b"event: y", b"data: a", b"", b""], [("y", b"a")]),
    "a name holds for one event": (
        [b"event: x", b"data: a", b"", b"data: b", b"", b""],
        [("x", b"a"), ("", b"b")],
    ),
    "many blank lines": (
        [b"", b"", b"data: a", b"", b"", b"", b"", b"data: b", b"", b"", b"", b""],
        [("", b"a"), ("", b"b")],
    ),
    "nothing but blank lines": ([b"", b"", b"", b"", b""], []),
    "nothing": ([b""], []),
    "BOM": ([BOM + b"data: a", b"", b""], [("", b"a")]),
    "BOM and blank lines": ([BOM, b"", b"data: a", b"", b""], [("", b"a")]),
    "a BOM before a line goes": (
        [BOM + BOM + b"data: a", b"", BOM + b"data: b", b"", b""], [("", b"a"), ("", b"b")]
    ),
    "two more BOMs do not": ([BOM * 3 + b"data: a", b"", b"data: b", b"", b""], [("", b"b")]),
    "half a BOM": ([BOM[:2] + b"data: a", b"", b"data: b", b"", b""], [("", b"b")]),
    "UTF-8": ([b"data: " + EMOJI, b"", b""], [("", EMOJI)]),
    "broken UTF-8 passes": ([b"data: \xff\xc3", b"", b""], [("", b"\xff\xc3")]),
    "broken UTF-8 in a name": ([b"event: \xff", b"data: a", b"", b""], [("\ufffd", b"a")]),
    "Unicode's line ends": ([b"data: " + NO_NEWLINES, b"", b""], [("", NO_NEWLINES)]),
    "no blank line at the end": (
        [b"data: a", b"", b"data: [DONE]", b""],
        [("", b"a"), ("", b"[DONE]")],
    ),
    "no line end at the end": ([b"data: a", b"", b"data: b"], [("", b"a"), ("", b"b")]),
    "half an event at the end": ([b"event: x", b"data: a", b"da"], [("x", b"a")]),
    "a name without data at the end": ([b"data: a", b"", b"event: x"], [("", b"a")]),
    "llama.cpp's error field": ([b'error: {"code":1}', b"", b""], [("error", b'{"code":1}')]),
    "an error field behind data": ([b"data: a", b"error: b", b"", b""], [("error", b"a\nb")]),
}  # fmt: skip

by_case = pytest.mark.parametrize(("lines", "expected"), CASES.values(), ids=CASES)
NEWLINES = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


@by_case
@pytest.mark.parametrize("newline", NEWLINES.values(), ids=NEWLINES)
def test_events_do_not_depend_on_where_the_bytes_are_cut(newline, lines, expected):
    data = newline.join(lines)
    assert frame(data) == expected
    assert frame(*one_by_one(data)) == expected
    assert frame(b"", *[piece for byte in one_by_one(data) for piece in (byte, b"")]) == expected
    for at in range(len(data) + 1):
        assert frame(data[:at], data[at:]) == expected, f"cut at {at} of {data!r}"


@by_case
def test_newlines_of_all_kinds_can_be_mixed(lines, expected):
    for turn in range(3):
        # In this order none ends in CR before one that begins with LF.
        ends = [(b"\r", b"\r\n", b"\n")[(number + turn) % 3] for number in range(len(lines))]
        data = b"".join(line + end for line, end in zip(lines, [*ends[1:], b""], strict=True))
        for at in range(len(data) + 1):
            assert frame(data[:at], data[at:]) == expected, f"cut at {at} of {data!r}"


@pytest.mark.parametrize("ends", [b"\n\n", b"\n\r", b"\r\n\n", b"\r\n\r", b"\r\r"])
def test_an_event_comes_out_with_the_first_byte_that_proves_its_blank_line(ends):
    data = b"data: a" + ends  # a CR proves a line end, whether or not a LF follows
    assert SSE().feed(data) == [("", b"a")]
    sse = SSE()
    *before, last = [sse.feed(byte) for byte in one_by_one(data)]
    assert not any(before)
    assert last == [("", b"a")]


def test_an_event_waits_for_its_blank_line():
    sse = SSE()
    assert sse.feed(b"data: a\ndata: b\n") == []
    assert sse.feed(b"\ndata: c") == [("", b"a\nb")]
    assert sse.eof() == [("", b"c")]


def test_a_long_event_in_many_pieces_is_whole():
    data = b"x" * 100_000
    wire = b"data: " + data + b"\n\n"
    assert frame(*[wire[at : at + 997] for at in range(0, len(wire), 997)]) == [("", data)]


# An independent reading of the same rules: decode all of it at once, line by line, by regex.


def reference(data: bytes) -> Events:
    events: Events = []
    kind, values = "", []
    lines = re.split(rb"\r\n|\n|\r", data[3:] if data[:3] == BOM else data)
    for line in [*lines, b""]:  # the end of the body closes a last event
        line = line if line == BOM else line.removeprefix(BOM)  # a blank line has no byte
        if line == b"":
            events += ended(kind, values)
            kind, values = "", []
            continue
        names = (b"data", b"event", b"error", b"id", b"retry", b"")
        if kind != "bare" and is_open(values) and line.split(b":")[0] not in names:
            values.append(line)  # a document of which only the first line has a field name
            continue
        if kind != "bare" and line[:1] in (b"{", b"["):  # JSON without a field name
            events += ended(kind, values)
            kind, values = "bare", [line]
            continue
        match = re.fullmatch(rb"(?s)([^:]*)(?:: ?(.*))?", line)
        assert match is not None
        field, value = match.group(1), match.group(2) or b""
        if field == b"event":
            kind = value.decode(errors="replace")
        elif field in (b"data", b"error"):
            if kind == "bare":
                events += ended(kind, values)
                kind, values = "", []
            kind = "error" if field == b"error" else kind
            values.append(value)
        elif kind == "bare" and values:
            values.append(line)
    return events


def is_open(values: list[bytes]) -> bool:
    """Return whether the lines begin a JSON document whose brackets are not all closed."""
    if not values or values[0][:1] not in (b"{", b"["):
        return False
    depth = 0
    for line in values:
        in_text = escaped = False
        for byte in line:
            if in_text:
                in_text = escaped or byte != ord('"')
                escaped = byte == ord("\\") and not escaped
            elif byte == ord('"'):
                in_text = True
            else:
                depth += (byte in b"{[") - (byte in b"}]")
    return depth > 0


def ended(kind: str, values: list[bytes]) -> Events:
    return [(kind, b"\n".join(values))] if any(values) or len(values) > 1 else []


NAMES = [b"data:", b"data", b"event:", b"event", b"error:", b"id:", b"retry:", b":", b" "]
TOKENS = [
    *NAMES,
    b"a",
    b"\n",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    BOM,
    EMOJI,
    b"\xff",
    b"{",
    b"[",
    b"}",
    b'"',
    b"\\",
]


@settings(max_examples=1000)
@given(
    tokens=st.lists(st.sampled_from(TOKENS) | st.binary(max_size=3), max_size=30),
    cuts=st.lists(st.integers(0, 120), max_size=8),
)
@example([b"data:a", b"\r", b"\n", b"\n"], [7, 8])
@example([b"data:a", b"\r\n", b"\n"], [7, 8])
@example([BOM[:1], BOM[1:], b"data:a"], [1, 2])
@example([b"data:\n", b"data:\n\n"], [])
@example([b'data:{"{\\\n:\n }'], [])
@example([b'data:{"a}', b'":\n', b"{\n:\n}\n}\n}"], [])
def test_any_bytes_cut_anywhere_are_read_as_the_standard_says(tokens, cuts):
    data = b"".join(tokens)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[a:b] for a, b in pairwise(ends)]
    assert frame(*pieces) == reference(data)
    assert frame(*one_by_one(data)) == reference(data)
