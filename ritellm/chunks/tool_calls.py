"""Put tool calls and thinking blocks together from their streamed fragments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import orjson

Values = list[Any]


def sum_tool_calls(values: Values) -> list[dict[str, Any]]:
    """Return whole calls from fragments.

    - A fragment continues the call of its id, if there is one under its index.
    - Without an id it continues the newest call of its index.
    - Another id with a name begins another call: some servers number every call 0.
    - Another id without a name continues the call: some servers send a new id with each fragment.
    - Without an index and an id (Mistral) it continues the newest call. It begins another one if it
      has another name, or the same name after arguments that are complete.
    """
    calls = _Calls()
    for fragment in chain.from_iterable(values):
        index, id = fragment.get("index"), fragment.get("id")
        call = calls.find(index, id)
        if call is None or _begins_another(call, fragment, id):
            call = calls.begin(index)
        call.add(fragment)
        calls.note(call, index)
    return [call.whole() for call in calls.all]


def sum_ended_tool_calls(values: Values) -> list[dict[str, Any]]:
    """Return whole calls of a choice that has ended: no arguments are an empty object, as JSON."""
    calls = sum_tool_calls(values)
    for call in calls:
        if "function" in call:
            call["function"]["arguments"] = call["function"]["arguments"] or "{}"
    return calls


class _Calls:
    """The calls of one choice, to be found by index and id."""

    __slots__ = ("_by_id", "_by_index", "_newest", "all")

    def __init__(self) -> None:
        self.all: list[_ToolCall] = []
        self._newest: _ToolCall | None = None
        self._by_index: dict[int | None, _ToolCall] = {}  # the newest call of each index
        self._by_id: dict[tuple[int | None, str], _ToolCall] = {}

    def begin(self, index: int | None) -> _ToolCall:
        call = _ToolCall(index)
        self.all.append(call)
        return call

    def note(self, call: _ToolCall, index: int | None) -> None:
        """Remember how to find `call`, to which a fragment with `index` was added."""
        self._newest = call
        self._by_index[call.index] = call
        if call.id:
            self._by_id[call.index, call.id] = self._by_id[None, call.id] = call
        if index is not None and self._by_index.get(None) is call:
            del self._by_index[None]

    def find(self, index: int | None, id: str | None) -> _ToolCall | None:
        """Return the call that a fragment may continue."""
        if id:
            call = self._by_id.get((index, id)) or self._by_id.get((None, id))
            if call and (index is None or call.index in (None, index)):
                return call
        if index is None:
            return self._newest
        return self._by_index.get(index) or self._by_index.get(None)


def _begins_another(call: _ToolCall, fragment: Mapping[str, Any], id: str | None) -> bool:
    name = (fragment.get("function") or fragment.get("custom") or {}).get("name")
    if not name or id == call.id:
        return False
    if id:
        return bool(call.id) and not call.is_unnamed
    if fragment.get("index") is not None:
        return False
    return bool(call.name) and (name != call.name or call.is_whole)


class _ToolCall:
    """One tool call, its arguments still in pieces."""

    __slots__ = ("_fields", "_pieces", "id", "index")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self._fields: dict[str, dict[str, Any]] = {"": {}}
        self._pieces: dict[tuple[str, str], list[str]] = {}

    def add(self, fragment: Mapping[str, Any]) -> None:
        self.id = self.id or fragment.get("id") or ""
        if self.index is None:
            self.index = fragment.get("index")
        for key, value in fragment.items():
            if isinstance(value, dict) and key in ("function", "custom"):
                self._fields.setdefault(key, {})
                for name, part in value.items():
                    self._part(key, name, part)
            elif key not in ("index", "id") and value is not None and value != "":
                self._fields[""][key] = value

    def _part(self, key: str, name: str, part: Any) -> None:
        if name in ("arguments", "input") and part is not None:
            # Older TGI sends the arguments as an object, whole.
            text = part if isinstance(part, str) else orjson.dumps(part).decode()
            self._pieces.setdefault((key, name), []).append(text)
        elif part is not None and part != "":
            self._fields[key][name] = part

    @property
    def name(self) -> Any:
        """The name of the tool, or None before it arrives."""
        return next((fields["name"] for fields in self._fields.values() if "name" in fields), None)

    @property
    def is_unnamed(self) -> bool:
        """Whether neither a name nor arguments have arrived."""
        return not self.name and not any(map("".join, self._pieces.values()))

    @property
    def is_whole(self) -> bool:
        """Whether the arguments so far are a complete JSON document."""
        try:
            orjson.loads("".join(piece for pieces in self._pieces.values() for piece in pieces))
        except orjson.JSONDecodeError:
            return False
        return True

    def whole(self) -> dict[str, Any]:
        is_custom = "custom" in self._fields and "function" not in self._fields
        kind = "custom" if is_custom else "function"
        call = {"id": self.id or None, "type": kind, **self._fields[""]}
        for key, fields in self._fields.items():
            if key:
                call[key] = dict(fields)
                if key == "function":
                    call[key].setdefault("name", None)
                    call[key]["arguments"] = ""
        for (key, name), pieces in self._pieces.items():
            call[key][name] = "".join(pieces)
        return call


def sum_thinking_blocks(values: Values) -> list[dict[str, Any]]:
    """Return whole blocks; pieces of the same `index`, or neighbours without one, are joined.

    A signature closes a block, and text after it starts the next one.
    """
    blocks: list[dict[str, Any]] = []
    texts: list[list[str]] = []
    for piece in chain.from_iterable(values):
        if not blocks or not _continues(blocks[-1], piece):
            blocks.append({})
            texts.append([])
        for key, value in piece.items():
            if key == "thinking":
                texts[-1].append(value or "")
            elif value or key not in blocks[-1]:
                blocks[-1][key] = value
    for block, text in zip(blocks, texts, strict=True):
        block.pop("index", None)
        if text:
            block["thinking"] = "".join(text)
    return blocks


def _continues(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    if block.get("type") != piece.get("type") or piece.get("type") == "redacted_thinking":
        return False
    if "index" in piece or "index" in block:
        return bool(piece.get("index") == block.get("index"))
    return not block.get("signature")
