"""Decode the content blocks of Anthropic's responses into OpenAI's deltas.

A block opens, continues and closes, and each step returns what it adds. None means nothing. {}
means progress that OpenAI's shape cannot express. The block of an unstreamed response only opens
and closes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from ritellm.wire.chunks import url_citation
from ritellm.wire.layout import Item

Delta = dict[str, Any]


class MessageState:
    """What the blocks of one message share: its length so far, and the order of its parts."""

    __slots__ = ("_items", "_opened", "calls", "length")

    def __init__(self) -> None:
        self.length = 0  # characters of content
        self.calls = 0  # tool calls
        self._opened = 0  # blocks
        self._items: dict[int, Item] = {}  # of closed blocks, by their places

    @property
    def layout(self) -> list[Item]:
        """The items of closed blocks, in the order in which the blocks opened.

        See `ritellm.wire.layout`.
        """
        return [self._items[place] for place in sorted(self._items)]

    def new_place(self) -> int:
        """Return the place of a block that opens."""
        self._opened += 1
        return self._opened

    def close(self, place: int, item: Item) -> None:
        """Keep the item of a block that closes."""
        self._items[place] = item


class Block(Protocol):
    """An open content block."""

    def open(self) -> Delta | None: ...

    def delta(self, delta: Mapping[str, Any]) -> Delta | None: ...

    def close(self) -> Delta | None: ...


def open_block(block: Mapping[str, Any], index: int, state: MessageState) -> Block:
    """Return the decoder of the block that begins with `block`, number `index` of its message."""
    return _BLOCKS.get(block.get("type") or "", _Other)(block, index, state)


class _Text:
    """Text and the sources that it cites."""

    __slots__ = ("_begin", "_block", "_citations", "_end", "_place", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = block
        self._state = state
        self._place = state.new_place()
        self._begin = self._end = state.length
        self._citations = list(block.get("citations") or ())

    def open(self) -> Delta | None:
        return self._append(self._block.get("text"))

    def delta(self, delta: Mapping[str, Any]) -> Delta | None:
        if delta.get("type") == "citations_delta":
            self._citations.append(delta.get("citation") or {})
            return {}
        return self._append(delta.get("text"))

    def close(self) -> Delta | None:
        end = self._end
        known = ("type", "text", "citations")
        item: Item = {k: v for k, v in self._block.items() if k not in known and v is not None}
        if self._citations:
            item["citations"] = self._citations
        if end > self._begin or item:
            item = {"from": "content", "length": end - self._begin, **item}
            self._state.close(self._place, item)
        notes = [note for cited in self._citations if (note := self._annotation(cited, end))]
        return {"annotations": notes} if notes else None

    def _append(self, text: str | None) -> Delta | None:
        if not text:
            return None
        self._state.length += len(text)
        self._end = self._state.length
        return {"content": text}

    def _annotation(self, cited: Mapping[str, Any], end: int) -> dict[str, Any] | None:
        """Return OpenAI's annotation for a source with an address, or None for any other source."""
        url = str(cited.get("url") or cited.get("source") or "")
        if not url.startswith(("http://", "https://")):
            return None
        span = {"start_index": self._begin, "end_index": end}
        return url_citation({"url": url, "title": cited.get("title"), **span})


class _Thinking:
    """Thoughts and their signature, or encrypted data in place of redacted thoughts."""

    __slots__ = ("_block", "_index", "_place", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = block
        self._index = index
        self._place = state.new_place()
        self._state = state

    def open(self) -> Delta | None:
        return self._piece({key: value for key, value in self._block.items() if key != "type"})

    def delta(self, delta: Mapping[str, Any]) -> Delta | None:
        return self._piece({key: delta[key] for key in ("thinking", "signature") if key in delta})

    def close(self) -> Delta | None:
        self._state.close(self._place, {"from": "thinking_blocks"})
        return None

    def _piece(self, fields: Mapping[str, Any]) -> Delta | None:
        fields = {k: v for k, v in fields.items() if v or k == "thinking"}
        if not fields:
            return None
        piece = {"type": self._block.get("type"), "index": self._index, **fields}
        text = {"reasoning_content": fields["thinking"]} if fields.get("thinking") else {}
        return {**text, "thinking_blocks": [piece]}


class _ToolUse:
    """A call of one of the caller's tools."""

    __slots__ = ("_block", "_has_arguments", "_index", "_place", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = block
        self._state = state
        self._place = state.new_place()
        self._index = state.calls
        self._has_arguments = False
        state.calls += 1

    def open(self) -> Delta | None:
        given = self._block.get("input")
        # In Claude's own spacing, so that the result equals that of a streamed call.
        arguments = json.dumps(given, ensure_ascii=False) if given else ""
        self._has_arguments = bool(arguments)
        known = ("type", "id", "name", "input")
        kept = {k: v for k, v in self._block.items() if k not in known and v is not None}
        call = {
            "index": self._index,
            "id": self._block.get("id"),
            "type": "function",
            "function": {"name": self._block.get("name"), "arguments": arguments},
        }
        return {"tool_calls": [{**call, "provider_specific_fields": kept} if kept else call]}

    def delta(self, delta: Mapping[str, Any]) -> Delta | None:
        piece = delta.get("partial_json")
        if not piece:
            return None
        self._has_arguments = True
        return self._arguments(piece)

    def close(self) -> Delta | None:
        self._state.close(self._place, {"from": "tool_calls"})
        return None if self._has_arguments else self._arguments("{}")

    def _arguments(self, piece: str) -> Delta:
        return {"tool_calls": [{"index": self._index, "function": {"arguments": piece}}]}


class _Other:
    """A block that OpenAI's shape cannot express, such as a tool that Anthropic runs.

    The layout keeps it whole, so that it can be sent back.
    """

    __slots__ = ("_block", "_pieces", "_place", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = dict(block)
        self._place = state.new_place()
        self._state = state
        self._pieces: dict[str, list[str]] = {}

    def open(self) -> Delta | None:
        return {}

    def delta(self, delta: Mapping[str, Any]) -> Delta | None:
        for key, value in delta.items():
            if isinstance(value, str) and key != "type":
                self._pieces.setdefault(key, []).append(value)
            elif value is not None and key != "type":
                self._block[key] = value
        return {}

    def close(self) -> Delta | None:
        for key, pieces in self._pieces.items():
            text = "".join(pieces)
            if key == "partial_json":
                self._block["input"] = _input(text)
            else:
                self._block[key] = (self._block.get(key) or "") + text
        self._state.close(self._place, self._block)
        return {}


def _input(text: str) -> Any:
    try:
        return orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return text  # cut off by max_tokens


_BLOCKS: dict[str, type[_Text] | type[_Thinking] | type[_ToolUse]] = {
    "text": _Text,
    "thinking": _Thinking,
    "redacted_thinking": _Thinking,
    "tool_use": _ToolUse,
}
