"""What the content blocks of Anthropic's answer are in OpenAI's delta.

A block opens, is continued and closes, and at each step says what it adds: nothing (None), or
nothing that OpenAI has a word for ({}). One that came whole (unstreamed) only opens and closes.
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
    """What the blocks of one answer share: how much of it there is, and in which order."""

    __slots__ = ("calls", "layout", "length")

    def __init__(self) -> None:
        self.length = 0  # characters of content
        self.calls = 0
        self.layout: list[Item] = []


class Block(Protocol):
    """A content block under way."""

    def open(self) -> Delta | None: ...

    def delta(self, delta: Mapping[str, Any]) -> Delta | None: ...

    def close(self) -> Delta | None: ...


def open_block(block: Mapping[str, Any], index: int, state: MessageState) -> Block:
    """Return the block that begins with `block`, number `index` of its message."""
    return _BLOCKS.get(block.get("type") or "", _Other)(block, index, state)


class _Text:
    """Text, and the sources that Claude cites for it."""

    __slots__ = ("_begin", "_block", "_citations", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = block
        self._state = state
        self._begin = state.length
        self._citations = list(block.get("citations") or ())

    def open(self) -> Delta | None:
        return self._say(self._block.get("text"))

    def delta(self, delta: Mapping[str, Any]) -> Delta | None:
        if delta.get("type") == "citations_delta":
            self._citations.append(delta.get("citation") or {})
            return {}
        return self._say(delta.get("text"))

    def close(self) -> Delta | None:
        end = self._state.length
        known = ("type", "text", "citations")
        item: Item = {k: v for k, v in self._block.items() if k not in known and v is not None}
        if self._citations:
            item["citations"] = self._citations
        if end > self._begin or item:
            self._state.layout.append({"from": "content", "length": end - self._begin, **item})
        notes = [note for cited in self._citations if (note := self._annotation(cited, end))]
        return {"annotations": notes} if notes else None

    def _say(self, text: str | None) -> Delta | None:
        if not text:
            return None
        self._state.length += len(text)
        return {"content": text}

    def _annotation(self, cited: Mapping[str, Any], end: int) -> dict[str, Any] | None:
        """Return OpenAI's annotation for a source with an address; others it has no shape for."""
        url = str(cited.get("url") or cited.get("source") or "")
        if not url.startswith(("http://", "https://")):
            return None
        place = {"start_index": self._begin, "end_index": end}
        return url_citation({"url": url, "title": cited.get("title"), **place})


class _Thinking:
    """Thoughts and their signature, or what stands for thoughts that are kept from us."""

    __slots__ = ("_block", "_index", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = block
        self._index = index
        self._state = state

    def open(self) -> Delta | None:
        return self._piece({key: value for key, value in self._block.items() if key != "type"})

    def delta(self, delta: Mapping[str, Any]) -> Delta | None:
        return self._piece({key: delta[key] for key in ("thinking", "signature") if key in delta})

    def close(self) -> Delta | None:
        self._state.layout.append({"from": "thinking_blocks"})
        return None

    def _piece(self, fields: Mapping[str, Any]) -> Delta | None:
        fields = {k: v for k, v in fields.items() if v or k == "thinking"}
        if not fields:
            return None
        piece = {"type": self._block.get("type"), "index": self._index, **fields}
        said = {"reasoning_content": fields["thinking"]} if fields.get("thinking") else {}
        return {**said, "thinking_blocks": [piece]}


class _ToolUse:
    """A call of one of the caller's tools."""

    __slots__ = ("_block", "_index", "_silent", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = block
        self._state = state
        self._index = state.calls
        self._silent = True
        state.calls += 1

    def open(self) -> Delta | None:
        given = self._block.get("input")
        # As Claude itself writes JSON, so that it reads the same as a streamed call.
        arguments = json.dumps(given, ensure_ascii=False) if given else ""
        self._silent = not arguments
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
        self._silent = False
        return self._arguments(piece)

    def close(self) -> Delta | None:
        self._state.layout.append({"from": "tool_calls"})
        return self._arguments("{}") if self._silent else None

    def _arguments(self, piece: str) -> Delta:
        return {"tool_calls": [{"index": self._index, "function": {"arguments": piece}}]}


class _Other:
    """A block without a place in OpenAI's shape, such as a tool that runs at Anthropic's.

    It is put together whole, for the layout, so that it can be sent back.
    """

    __slots__ = ("_block", "_pieces", "_state")

    def __init__(self, block: Mapping[str, Any], index: int, state: MessageState) -> None:
        self._block = dict(block)
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
        self._state.layout.append(self._block)
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
