"""Messages as the items of OpenAI's Responses API.

Items that chat cannot express are kept in the layout of a completion
(`provider_specific_fields.response_items`), and are sent back from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.wire.call_ids import OPENAI_RESPONSES, with_ids
from ritellm.wire.chunks import url_citation
from ritellm.wire.content import arguments_text, parts_of, text_of
from ritellm.wire.layout import extras, in_order, is_plain, unpack
from ritellm.wire.media import plain_part
from ritellm.wire.request import present

Item = Mapping[str, Any]

LAYOUT = "response_items"
FIELDS = ("content", "refusal", "tool_calls")
CALLS = frozenset({"function_call", "custom_tool_call"})

_ROLES = ("system", "developer", "user", "assistant", "tool")


def encode_messages(messages: Sequence[Item], stored: bool) -> tuple[str | None, list[Item]]:
    """Return (instructions, input) for `messages`.

    System and developer messages at the beginning are instructions, unless there are no others.
    """
    messages = with_ids(messages, OPENAI_RESPONSES)
    opening = 0
    while opening < len(messages) and messages[opening].get("role") in _ROLES[:2]:
        opening += 1
    if opening == len(messages):
        opening = 0
    instructions = "\n\n".join(text_of(each.get("content")) for each in messages[:opening])
    items: list[Item] = []
    custom: set[Any] = set()  # ids of calls whose result is a custom_tool_call_output
    for message in messages[opening:]:
        encoded = _items(message, stored, custom)
        custom.update(i.get("call_id") for i in encoded if i.get("type") == "custom_tool_call")
        items += encoded
    return instructions or None, items


def _items(message: Item, stored: bool, custom: set[Any]) -> Sequence[Item]:
    role = message.get("role")
    if role == "assistant":
        return assistant_items(message, stored)
    if role == "tool":
        call_id = message.get("tool_call_id")
        kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
        output = _content(message.get("content")) or ""
        return [{"type": kind, "call_id": call_id, "output": output}]
    if role not in _ROLES:
        raise InvalidRequestError(f"role must be one of {', '.join(_ROLES)}, got {role!r}")
    return [{"role": role, "content": _content(message.get("content"))}]


def _content(content: Any) -> Any:
    return content if isinstance(content, str) else [_part(p) for p in parts_of(content)] or ""


def _part(part: Item) -> Item:
    part = plain_part(part)
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part.get("text")}
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else image or {}
        url, detail = image.get("url"), image.get("detail") or "auto"
        return {"type": "input_image", "image_url": url, "detail": detail}
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    if isinstance(kind, str) and kind.startswith("input_"):
        return part
    raise InvalidRequestError(f"the Responses API takes no content part of type {kind!r}")


def assistant_items(message: Item, stored: bool) -> list[Item]:
    """Return the items of an earlier completion, as they arrived unless it was edited.

    Reasoning that OpenAI did not store, and that did not travel encrypted, cannot be sent.
    """
    layout = (message.get("provider_specific_fields") or {}).get(LAYOUT)
    notes = [_flat_annotation(note) for note in message.get("annotations") or ()]
    items: list[Item] = []
    for item, value in unpack(layout, message, FIELDS) or in_order(message, FIELDS):
        field = item.get("from")
        if field is None:
            if stored or item.get("type") != "reasoning" or item.get("encrypted_content"):
                items.append(item)
        elif field == "tool_calls":
            items.append({**extras(item), **_call(value)})
        elif field == "images":
            items.append({**extras(item), "result": value["image_url"]["url"].partition(",")[2]})
        elif value:
            carried = extras(item)
            part = _spoken(field, value, notes)
            # Text alone is sent in its shortest form, which every compatible server accepts.
            content = [part] if carried or notes or "text" not in part else part["text"]
            items.append({"role": "assistant", **carried, "content": content})
            notes = [] if "text" in part else notes
    return items


def _spoken(field: str, value: Any, notes: list[Item]) -> Item:
    """Return the part for text or for a refusal, from a field or from a part of the content."""
    if field == "refusal":
        return {"type": "refusal", "refusal": value}
    if isinstance(value, Mapping) and value.get("type") == "refusal":
        return value
    text = value if isinstance(value, str) else text_of([value])
    return {"type": "output_text", "text": text, "annotations": notes}


def _call(call: Item) -> dict[str, Any]:
    if call.get("type") == "custom":
        custom = call.get("custom") or {}
        fields = {"name": custom.get("name"), "input": custom.get("input") or ""}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **fields}
    function = call.get("function") or {}
    fields = {"name": function.get("name"), "arguments": arguments_text(call)}
    return {"type": "function_call", "call_id": call.get("id"), **fields}


def layout_of(items: Sequence[Item]) -> list[dict[str, Any]] | None:
    """Return the layout of `items`, or None if the message needs none.

    Ids alone need no layout; a `phase`, reasoning or a search does.
    """
    layout = [entry for item in items for entry in _entries(item)]
    bare = [{k: v for k, v in entry.items() if k not in _COMMON} for entry in layout]
    return None if is_plain(bare, FIELDS) else layout


# The fields of every message and every call.
_COMMON = frozenset({"id", "type", "role", "status", "caller"})
_SPOKEN = {"text": "content", "refusal": "refusal"}


def _entries(item: Item) -> list[dict[str, Any]]:
    kind = item.get("type")
    # The API sends nulls (a reasoning item's `status`) but refuses them.
    whole = present(**item)
    if kind in CALLS:
        known = ("type", "call_id", "name", "arguments", "input")
        return [{"from": "tool_calls", **{k: v for k, v in whole.items() if k not in known}}]
    if kind == "image_generation_call" and whole.pop("result", None):
        return [{"from": "images", **whole}]
    if kind != "message":
        return [whole]
    parts = whole.pop("content", ())
    entries: list[dict[str, Any]] = []
    for name, field in _SPOKEN.items():
        length = sum(len(part.get(name) or "") for part in parts)
        if length:
            entries.append({"from": field, "length": length, **(whole if not entries else {})})
    return entries


def image_of(item: Item) -> dict[str, Any] | None:
    """Return the image in an item, or None."""
    if item.get("type") != "image_generation_call" or not item.get("result"):
        return None
    url = f"data:image/{item.get('output_format') or 'png'};base64,{item['result']}"
    return {"type": "image_url", "image_url": {"url": url}}


def annotation(note: Item) -> dict[str, Any]:
    """Return an annotation in chat's shape; kinds that chat does not have pass unchanged."""
    if note.get("type") != "url_citation":
        return dict(note)
    return url_citation({key: value for key, value in note.items() if key != "type"})


def _flat_annotation(note: Item) -> Item:
    citation = note.get("url_citation")
    return {"type": "url_citation", **citation} if isinstance(citation, Mapping) else note
