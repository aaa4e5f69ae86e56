"""Read events that differ from the one before only in their text, without parsing them.

The problem: nearly every event of a stream is the same JSON around a different piece of text.
Parsing all of it for a few letters is the largest cost of a chunk.

The idea: once an event has been parsed, the bytes before and after its text are known. Another
event with the same bytes there can differ only in the text. A block of such events is split at
those bytes, all of them at once, and becomes a `Run`.

    data: {"id":"c1",...,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n
    |----------------- before -------------|text|---------- after ------------|

OpenAI may add padding at the end. Then the event is: before, text, middle, padding, after.

The invariants:
- The result is the same as if every event had been parsed. `learn` checks this on its example.
- An event that does not match to the byte is left to the parser.
- A text that needs unescaping goes through the JSON parser, so that an invalid one is found.

The states of one stream:

    new -> first event seen -> an example is learnt -> (events match) runs
    An event that does not match discards the example, and the next parsed event gives a new one.
    After `_PATIENCE` misses in a row without a match, learning stops, since it only costs time.
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
_CONTAINERS = frozenset({dict, list})
# Learning stops after this number of examples in a row without a match.
_PATIENCE = 8


class Repeats:
    """The bytes that the events of one stream have in common."""

    __slots__ = (
        "_after",
        "_before",
        "_begun",
        "_between",
        "_is_mixed",
        "_kind",
        "_middle",
        "_misses",
        "_padded",
    )

    def __init__(self) -> None:
        # The example: what its chunk holds, and its bytes around the text.
        self._kind: Kind | None = None  # None: there is no example
        self._before = b""  # from the start of an event to its text
        self._after = b""  # from its text, or its padding, to the start of the next event
        self._between = ""  # after + before: what separates two texts in a block
        self._middle = ""  # from the text to the padding; "" without padding
        self._padded = b""  # the same bytes

        # Whether to learn at all.
        self._begun = False  # the first event has been seen
        self._misses = 0  # examples since the last match
        self._is_mixed = False  # in the block that is read, other events stand between those

    def take(self, block: bytes, at: int) -> tuple[Run | None, int]:
        """Return the run of matching events at `at` in `block` (whole events), and where it ends.

        The run is None if the first event there does not match the example.
        """
        if at == 0:
            self._is_mixed = False
        if self._kind is None or not block.startswith(self._before, at):
            return None, at
        # Nearly always all events match, or all but the last ones. Another one between them leaves
        # a line end in the texts, which `_read` refuses; then the matching events are counted one
        # by one, here and in the rest of the block.
        run, end = None, at
        if not self._is_mixed:
            end = self._last_end(block, at)
            run = self._read(block, at, end)
        if run is None:
            self._is_mixed = True
            end = self._end_of_same(block, at)
            if end == at:
                return None, at
            run = self._read(block, at, end)
        if run is None:
            return None, at
        self._misses = 0
        return run, end

    def _last_end(self, block: bytes, at: int) -> int:
        """Return the end of the last event after `at` that ends as the example does."""
        if not self._padded:
            return block.rfind(self._after, at) + len(self._after)
        # Every event with a padding has the bytes behind it, so the bytes before it decide.
        return block.find(self._after, block.rfind(self._padded, at)) + len(self._after)

    def _end_of_same(self, block: bytes, at: int) -> int:
        """Return the end of the matching events that begin at `at`."""
        before, after = self._before, self._after
        while block.startswith(before, at):
            end = end_of_event(block, at)
            if not block.endswith(after, at + len(before), end):
                break
            at = end
        return at

    def _read(self, block: bytes, at: int, end: int) -> Run | None:
        """Return the run of the events from `at` to `end`, or None unless all of them match."""
        first, last = at + len(self._before), end - len(self._after)
        if self._kind is None or first > last:  # before and after overlap
            return None
        try:
            texts = block[first:last].decode().split(self._between)
        except UnicodeDecodeError:
            return None
        paddings = None
        if self._middle:
            cut = [text.partition(self._middle) for text in texts]
            texts, _, paddings = map(list, zip(*cut, strict=True))
            if not all(map(str.isalnum, paddings)):  # a missing padding is "", which fails too
                return None
        together = texts[0] if len(texts) == 1 else "".join(texts)
        # One look at all texts together: a call of the JSON parser for each text would cost as much
        # as everything else here.
        if '"' in together or "\\" in together or not together.isprintable():
            unescaped = _unescaped(texts)
            if unescaped is None:
                return None
            texts = unescaped
        return Run(self._kind, texts, paddings)

    def learn(self, data: bytes, payload: Mapping[str, Any]) -> None:
        """Use `payload`, parsed from `data`, as the example for the events that follow.

        The first event of a stream is skipped: many responses have only one piece of text, and
        learning from it would be wasted.
        """
        if not self._begun:
            self._begun = True
            return
        self._misses += 1
        self._kind = None
        # Several choices in one event have several texts.
        if self._misses > _PATIENCE or len(payload["choices"]) != 1:
            return
        choice = payload["choices"][0]
        ((name, text),) = [item for item in choice["delta"].items() if item[1] is not None]
        # All chunks of a run share the values around the text, so a container, which a caller could
        # change in one chunk, rules the example out.
        around = {type(v) for k, v in payload.items() if k != "choices"}
        around.update([type(v) for k, v in choice.items() if k != "delta"])
        if name not in _TEXTS or not around.isdisjoint(_CONTAINERS):
            return
        start = _behind_key(data, name)
        end = data.find(b'"', start)
        if not start or _unescaped([data[start:end].decode("utf-8", "replace")]) != [text]:
            return
        self._cut(data, start, end, padded=PADDING in payload)
        self._kind = Kind(payload, name)
        # The proof: read the example by its bytes, and compare with what the parser returned.
        block = _EVENT + data + _OVER
        again = self._read(block, 0, len(block))
        if again is None or [*again] != [payload]:
            self._kind = None

    def _cut(self, data: bytes, start: int, end: int, *, padded: bool) -> None:
        """Remember the bytes around the text, which is `data[start:end]`."""
        padding = _behind_key(data, PADDING) if padded else 0
        # OpenAI's padding is the last field; the same name elsewhere means something else.
        is_last = padding > end and data.find(b'"', padding) == len(data) - 2
        self._before = _EVENT + data[:start]
        self._padded = data[end:padding] if is_last else b""
        self._middle = self._padded.decode("utf-8", "replace")
        self._after = _PADDED_END if is_last else data[end:] + _OVER
        self._between = (self._after + self._before).decode("utf-8", "replace")


def _unescaped(texts: Sequence[str]) -> list[str] | None:
    """Return the values of JSON strings with these contents, or None if one is invalid."""
    try:
        values = [orjson.loads(f'"{text}"') for text in texts]
    except orjson.JSONDecodeError:
        return None
    return values if all(isinstance(value, str) for value in values) else None


def _behind_key(data: bytes, key: str) -> int:
    """Return where the string under `key` begins, after its quote; 0 if the key is not unique.

    Quotes inside a JSON string are escaped, so these bytes can only be the key.
    """
    name = b'"%b":' % key.encode()
    at = data.find(name)
    if at < 0 or data.find(name, at + 1) >= 0:
        return 0
    start = at + len(name) + (data[at + len(name) :][:1] == b" ")
    return start + 1 if data[start : start + 1] == b'"' else 0
