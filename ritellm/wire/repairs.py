"""Repairs of JSON that some servers write and that is not JSON. No I/O and no clock.

The problem: a server that cuts text between UTF-16 units writes half a character ("\\ud83d"), one
that builds JSON by hand writes control characters as they are, and Python writes NaN and Infinity.
orjson refuses them. They are no reason to lose a response.

The idea: nothing here runs until the parser has refused the bytes. NaN and Infinity become null.
Control characters are escaped. Half a character becomes U+FFFD. A half at the end of one text and
its other half at the beginning of the next text become one character again (`joined`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

# Larger documents are not repaired: a hostile one would cost too much time.
_LARGEST = 16 * 1024 * 1024
# A string, whole or cut off by the end, or a word that Python writes for a number.
_NUMBERS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)|-?Infinity|NaN', re.DOTALL)
# A whole character in two halves, half a character, or any other escape.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)
_CONTROLS = re.compile(rb"[\x00-\x1f]")
_REPLACEMENT = rb"\ufffd"
# Data that keeps a connection open, and the end of OpenAI's streams in other dialects.
_IDLE = re.compile(
    rb'\s*(?::.*|null|""|\[DONE\]|["\[]?(?:heartbeat|keep-?alive|ping|processing)["\]]?)\s*',
    re.DOTALL | re.IGNORECASE,
)


def parse(data: bytes) -> Any:
    """Return the JSON in `data` after repairs; raises orjson.JSONDecodeError."""
    text = data.decode("utf-8", "replace").encode()
    if len(text) <= _LARGEST:
        text = _NUMBERS.sub(_without_number, text)
    return orjson.loads(text)


def with_whole_characters(data: bytes) -> bytes:
    """Return JSON with U+FFFD for each half of a character."""
    return _ESCAPES.sub(lambda found: _REPLACEMENT if found[1] else found[0], data)


def without_terminator(document: bytes) -> bytes:
    """Return a document without the end of a stream, which some servers put behind it."""
    head, found, rest = document.rpartition(b"data:")
    return head if found and rest.strip() == b"[DONE]" else document


def has_half_character(data: bytes) -> bool:
    """Return whether JSON has half a character."""
    return len(data) <= _LARGEST and any(_halves(data))


def ends_in_half(data: bytes) -> bool:
    """Return whether a text in JSON ends in the first half of a character."""
    return _last_half(data) is not None


def joined(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """Return two JSON documents; a character that they share is in the second one.

    They are unchanged if no text of `after` begins with the second half.
    """
    first, second = _last_half(before), next(_halves(after), None)
    if first is None or second is None or _is_first(second[1]):
        return before, after
    if after[second.start() - 1 : second.start()] != b'"':
        return before, after
    begin, end = first.span()
    at = second.start()
    return before[:begin] + before[end:], after[:at] + first[1] + after[at:]


def is_idle(data: bytes) -> bool:
    """Return whether the data of an event has nothing for a response."""
    return _IDLE.fullmatch(data) is not None


def _halves(data: bytes) -> Iterator[re.Match[bytes]]:
    return (found for found in _ESCAPES.finditer(data) if found[1])


def _last_half(data: bytes) -> re.Match[bytes] | None:
    """Return the last half of a character, if it is a first half at the end of a text."""
    last = next(iter(deque(_halves(data), maxlen=1)), None)
    if last is None or not _is_first(last[1]) or data[last.end() : last.end() + 1] != b'"':
        return None
    return last


def _is_first(half: bytes) -> bool:
    return half[3:4].lower() in (b"8", b"9", b"a", b"b")


def _without_number(found: re.Match[bytes]) -> bytes:
    if found[0][:1] != b'"':
        return b"null"
    return _CONTROLS.sub(lambda control: b"\\u%04x" % control[0][0], found[0])
