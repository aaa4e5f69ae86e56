"""Chunks that differ from the one before in their text only: read without parsing the rest again.

Nearly every event of a streamed answer repeats the same JSON around another piece of text. Once one
has been parsed, the bytes before and behind its text are known; an event that has the same bytes
there can differ in nothing but that text. What does not match to the byte is parsed as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ritellm.types import Chunk, set_like

_TEXTS = frozenset({"content", "reasoning_content"})
# Random letters that OpenAI adds against eavesdroppers who measure lengths.
_PADDING = "obfuscation"
# A stream that misses more often than this in a row with what it hits is of another kind.
_PATIENCE = 8


class Repeats:
    """What the events of one stream have in common."""

    __slots__ = (
        *("_after", "_before", "_choice", "_head", "_length"),
        *("_misses", "_name", "_padded", "_start"),
    )

    def __init__(self) -> None:
        self._before = self._after = b""
        self._start = self._length = 0
        self._padded = False
        self._head: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}
        self._name = ""
        self._misses = 0

    def chunk(self, data: bytes) -> Chunk | None:
        """Return the chunk in `data` if it is one more of the same, else None."""
        start = self._start
        if not start or not data.startswith(self._before):
            return None
        if self._padded:
            end = data.rfind(self._after, start)
            padding = data[end + self._length : -2]
            if end < 0 or not padding.isalnum() or not data.endswith(b'"}'):
                return None
        else:
            end = len(data) - self._length
            if end < start or not data.endswith(self._after):
                return None
        raw = data[start:end]
        text = raw.decode("utf-8", "replace")
        # What needs no unescaping is seen here: a call would cost as much as all the rest.
        if b'"' in raw or b"\\" in raw or not text.isprintable():
            unescaped = _text(raw)
            if unescaped is None:
                return None
            text = unescaped
        chunk = Chunk(self._head)
        choice = self._choice.copy()
        content = self._name == "content"
        choice["delta"] = {"content": text} if content else {"content": None, self._name: text}
        chunk["choices"] = [choice]
        if self._padded:
            chunk[_PADDING] = padding.decode()
        set_like(chunk, self._choice)
        self._misses = 0
        return chunk

    def learn(self, data: bytes, payload: Mapping[str, Any]) -> None:
        """Take `payload`, which was parsed from `data`, for an example of those to come."""
        self._misses += 1
        self._start = 0
        if self._misses > _PATIENCE or len(payload["choices"]) != 1:
            return
        choice = payload["choices"][0]
        ((name, text),) = [item for item in choice["delta"].items() if item[1] is not None]
        around = [v for k, v in payload.items() if k != "choices"]
        around += [v for k, v in choice.items() if k != "delta"]
        if name not in _TEXTS or any(isinstance(value, (dict, list)) for value in around):
            return
        start = _behind_key(data, name)
        end = data.find(b'"', start)
        if not start or _text(data[start:end]) != text:
            return
        after, padded = _behind_padding(data, end) if _PADDING in payload else (data[end:], False)
        self._before, self._start = data[:start], start
        self._after, self._length = after, len(after)
        self._padded, self._name = padded, name
        self._head = {**payload, "choices": None}
        self._choice = {**choice, "delta": None}
        if self.chunk(data) != payload:
            self._start = 0


def _text(raw: bytes) -> str | None:
    """Return what the JSON string with `raw` between its quotes says, or None if it is none."""
    try:
        text = orjson.loads(b'"%b"' % raw)
    except orjson.JSONDecodeError:
        return None
    return text if isinstance(text, str) else None


def _behind_key(data: bytes, key: str) -> int:
    """Return where the one string under `key` begins, behind its quote; 0 if that is not clear.

    Inside of a JSON string a quote is escaped, so that these bytes can only be the key.
    """
    name = b'"%b":' % key.encode()
    at = data.find(name)
    if at < 0 or data.find(name, at + 1) >= 0:
        return 0
    start = at + len(name) + (data[at + len(name) :][:1] == b" ")
    return start + 1 if data[start : start + 1] == b'"' else 0


def _behind_padding(data: bytes, end: int) -> tuple[bytes, bool]:
    """Return the bytes from `end` to the padding, and whether it stands at the very end."""
    start = _behind_key(data, _PADDING)
    if start > end and data.find(b'"', start) == len(data) - 2:
        return data[end:start], True
    return data[end:], False
