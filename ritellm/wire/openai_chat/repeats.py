"""Chunks that differ from the one before in their text only: read without parsing the rest again.

Nearly every event of a streamed answer repeats the same JSON around another piece of text. Once one
has been parsed, the bytes before and behind its text are known; an event that has the same bytes
there can differ in nothing but that text. A block of such events is cut at those bytes, all at
once. What does not match to the byte is parsed as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ritellm.chunks.run import PADDING, Kind, Run
from ritellm.wire.framing.sse import end_of_event

_TEXTS = frozenset({"content", "reasoning_content"})
_EVENT = b"data: "
_OVER = b"\n\n"
_PADDED_END = b'"}' + _OVER
# A stream that misses more often than this in a row with what it hits is of another kind.
_PATIENCE = 8


class Repeats:
    """What the events of one stream have in common."""

    __slots__ = (
        "_after",
        "_before",
        "_begun",
        "_between",
        "_kind",
        "_middle",
        "_misses",
    )

    def __init__(self) -> None:
        self._kind: Kind | None = None  # of the newest example
        self._before = b""  # from the start of an event to its text
        self._after = b""  # from its text, or its padding, to the start of the next event
        self._between = ""  # both of them
        self._middle = ""  # from the text to the padding, where there is one
        self._misses = 0
        self._begun = False  # there was one: learning from it is in vain if no other comes

    def take(self, block: bytes, at: int) -> tuple[Run | None, int]:
        """Return the chunks that `block`, which is whole events, has at `at`, and where they end.

        None unless the first event there is one more of the same.
        """
        if self._kind is None or not block.startswith(self._before, at):
            return None, at
        # Nearly always all are alike: what is not shows in the texts, for a line ends there.
        end = len(block)
        run = self._read(block, at, end) if block.endswith(self._after, at) else None
        if run is None:
            end = self._end_of_same(block, at)
            if end == at:
                return None, at
            run = self._read(block, at, end)
        if run is None:
            return None, at
        self._misses = 0
        return run, end

    def _end_of_same(self, block: bytes, at: int) -> int:
        """Return where the events end that repeat the newest example, from `at` on."""
        before, after = self._before, self._after
        while block.startswith(before, at):
            end = end_of_event(block, at)
            if not block.endswith(after, at + len(before), end):
                break
            at = end
        return at

    def _read(self, block: bytes, at: int, end: int) -> Run | None:
        """Return the chunks from `at` to `end`, if they are nothing but more of the same."""
        first, last = at + len(self._before), end - len(self._after)
        if self._kind is None or first > last:  # the one over the other
            return None
        try:
            texts = block[first:last].decode().split(self._between)
        except UnicodeDecodeError:
            return None
        paddings = None
        if self._middle:
            cut = [text.partition(self._middle) for text in texts]
            texts, _, paddings = map(list, zip(*cut, strict=True))
            if not all(map(str.isalnum, paddings)):  # none at all is empty
                return None
        together = texts[0] if len(texts) == 1 else "".join(texts)
        # What needs no unescaping is seen here: a call for each would cost as much as all the rest.
        if '"' in together or "\\" in together or not together.isprintable():
            unescaped = _unescaped(texts)
            if unescaped is None:
                return None
            texts = unescaped
        return Run(self._kind, texts, paddings)

    def learn(self, data: bytes, payload: Mapping[str, Any]) -> None:
        """Take `payload`, which was parsed from `data`, for an example of those to come.

        The first of all is passed over: many an answer is one piece of text.
        """
        if not self._begun:
            self._begun = True
            return
        self._misses += 1
        self._kind = None
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
        if not start or _unescaped([data[start:end].decode("utf-8", "replace")]) != [text]:
            return
        self._cut(data, start, end, padded=PADDING in payload)
        self._kind = Kind(payload, name)
        block = _EVENT + data + _OVER
        again = self._read(block, 0, len(block))
        if again is None or [*again] != [payload]:
            self._kind = None

    def _cut(self, data: bytes, start: int, end: int, *, padded: bool) -> None:
        """Remember what stands around the text, which is `data[start:end]`."""
        padding = _behind_key(data, PADDING) if padded else 0
        # Padding that stands elsewhere than at the very end is no padding of OpenAI's.
        is_last = padding > end and data.find(b'"', padding) == len(data) - 2
        self._before = _EVENT + data[:start]
        self._middle = data[end:padding].decode("utf-8", "replace") if is_last else ""
        self._after = _PADDED_END if is_last else data[end:] + _OVER
        self._between = (self._after + self._before).decode("utf-8", "replace")


def _unescaped(texts: Sequence[str]) -> list[str] | None:
    """Return what JSON strings with `texts` between their quotes say; None if one is no string."""
    try:
        said = [orjson.loads(f'"{text}"') for text in texts]
    except orjson.JSONDecodeError:
        return None
    return said if all(isinstance(text, str) for text in said) else None


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
