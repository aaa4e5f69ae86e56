"""Messages as Anthropic's turns and content blocks. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.wire.call_ids import ANTHROPIC, with_ids
from ritellm.wire.content import arguments_of, parts_of
from ritellm.wire.layout import Item, extras, in_order, unpack
from ritellm.wire.media import split_data_url, text_in
from ritellm.wire.reasoning_details import thinking_blocks
from ritellm.wire.turns import check_turns

# The name of a completion's layout in `provider_specific_fields`, and the fields that it orders,
# in Claude's usual order.
LAYOUT = "anthropic_blocks"
FIELDS = ("thinking_blocks", "content", "tool_calls")

# Types of blocks in Anthropic's own shape.
_NATIVE = frozenset("image document search_result container_upload tool_reference".split())

Block = dict[str, Any]


def encode_messages(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the system prompt and the turns; neighbouring messages of one role are one turn.

    System messages are gathered from all positions, since not every model allows one between turns.
    """
    system: list[Any] = []
    turns: list[dict[str, Any]] = []
    for message in with_ids(messages, ANTHROPIC):
        role, content = _turn(message)
        if role == "system":
            system += content
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": role, "content": content})
    check_turns(messages, turns, "Anthropic")
    _trim(turns[-1])
    return system, turns


def _trim(last: dict[str, Any]) -> None:
    """Remove white space from the end of a text that Claude continues, which refuses it."""
    block = last["content"][-1]
    if last["role"] == "assistant" and block["type"] == "text":
        last["content"][-1] = {**block, "text": block["text"].rstrip()}


def _turn(message: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    role = message.get("role")
    if role in ("system", "developer"):
        return "system", _marked(message, blocks(parts_of(message.get("content"))))
    if role == "user":
        return "user", _marked(message, blocks(parts_of(message.get("content"))))
    if role == "assistant":
        return "assistant", _marked(message, assistant_blocks(message))
    if role == "tool":
        return "user", _marked(message, [tool_result(message)])
    raise InvalidRequestError(f"Anthropic has no role {role!r}")


def _marked(message: Mapping[str, Any], content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Move the cache_control of a message to its last block."""
    if content and message.get("cache_control"):
        content[-1] = {**content[-1], "cache_control": message["cache_control"]}
    return content


def blocks(parts: Iterable[Mapping[str, Any]]) -> list[Block]:
    """Return the blocks for `parts`."""
    return [block for part in parts if (block := _block(part))]


def assistant_blocks(message: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of an earlier completion, as they arrived unless it was edited."""
    layout = (message.get("provider_specific_fields") or {}).get(LAYOUT)
    message = {**message, "thinking_blocks": thinking_blocks(message)}
    pairs = unpack(layout, message, FIELDS) or in_order(message, FIELDS)
    return [block for item, value in pairs if (block := _item_block(item, value))]


def tool_result(message: Mapping[str, Any]) -> Block:
    """Return the block of a tool message."""
    call = message.get("tool_call_id")
    if not call:
        raise InvalidRequestError("a tool message must have the tool_call_id of its call")
    result: Block = {"type": "tool_result", "tool_use_id": call}
    content = blocks(parts_of(message.get("content")))
    if content:
        result["content"] = content
    if message.get("is_error"):
        result["is_error"] = True
    return result


def _item_block(item: Item, value: Any) -> Block | None:
    field = item.get("from")
    if field is None:
        return dict(item)
    if field == "thinking_blocks":
        # Anthropic refuses thoughts without its own signature.
        signed = value.get("signature") or value.get("type") == "redacted_thinking"
        return {key: part for key, part in value.items() if key != "index"} if signed else None
    if field == "tool_calls":
        return _tool_use(value)
    part = {"type": "text", "text": value} if isinstance(value, str) else value
    block = _block(part)
    return {**block, **extras(item)} if block else None


def _tool_use(call: Mapping[str, Any]) -> Block:
    function = call.get("function")
    if not function:
        raise InvalidRequestError("a tool call must have a function: Anthropic has no custom tools")
    kept = call.get("provider_specific_fields") or {}
    return {
        "type": "tool_use",
        "id": call.get("id") or "",
        "name": function.get("name"),
        "input": arguments_of(call),
        **{key: kept[key] for key in ("caller", "toolset_name") if key in kept},
    }


def _block(part: Mapping[str, Any]) -> Block | None:
    kind = part.get("type")
    if kind in _NATIVE:
        return dict(part)
    if kind not in _BLOCKS:
        raise InvalidRequestError(f"Anthropic does not accept content parts of type {kind!r}")
    block = _BLOCKS[kind](part)
    if block and part.get("cache_control"):
        block["cache_control"] = part["cache_control"]
    return block


def _text(part: Mapping[str, Any]) -> Block | None:
    """Return a text block, or None for white space alone, which Anthropic sends but refuses."""
    text = part.get("text") or part.get("refusal") or ""
    return {"type": "text", "text": text} if text.strip() else None


def _image(part: Mapping[str, Any]) -> Block:
    image = part.get("image_url") or {}
    url = image if isinstance(image, str) else image.get("url") or ""
    data = split_data_url(url)
    if data:
        return {"type": "image", "source": _base64(*data)}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _file(part: Mapping[str, Any]) -> Block:
    file = part.get("file") or {}
    title = {"title": file["filename"]} if file.get("filename") else {}
    source = file.get("file_data") or ""
    data = split_data_url(source)
    if data and data[0].startswith("image/"):
        return {"type": "image", "source": _base64(*data)}
    if data:
        if data[0].startswith("text/"):
            text = {"type": "text", "media_type": "text/plain", "data": text_in(source)}
            return {"type": "document", "source": text, **title}
        return {"type": "document", "source": _base64(*data), **title}
    if source:
        return {"type": "document", "source": {"type": "url", "url": source}, **title}
    if not file.get("file_id"):
        raise InvalidRequestError("a file part must have file_data (a data: URL) or a file_id")
    return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}, **title}


def _base64(media_type: str, data: str) -> Block:
    return {"type": "base64", "media_type": media_type, "data": data}


_BLOCKS: dict[Any, Callable[[Mapping[str, Any]], Block | None]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _text,
    "image_url": _image,
    "file": _file,
}
