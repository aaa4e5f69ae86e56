"""Messages as Cohere's v2 chat takes them. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.wire.content import arguments_text, parts_of, text_of
from ritellm.wire.media import plain_part
from ritellm.wire.request import present
from ritellm.wire.turns import check_turns


def encode_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return `messages` in Cohere's shape; raises InvalidRequestError."""
    encoded = [m for message in messages if _says(m := _message(message))]
    check_turns(messages, [m for m in encoded if m["role"] != "system"], "Cohere")
    return encoded


def _says(message: Mapping[str, Any]) -> bool:
    """Return whether a message says anything; Cohere refuses one that does not."""
    parts = ("content", "tool_calls", "tool_plan", "tool_call_id")
    return any(message.get(name) for name in parts)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        return {"role": "system", "content": text_of(content)}
    if role == "user":
        return {"role": role, "content": _content(content, ("text", "image_url"))}
    if role == "tool":
        call_id = message.get("tool_call_id")
        result = _content(content, ("text", "document"))
        return {"role": role, "tool_call_id": call_id, "content": result}
    if role == "assistant":
        return _assistant(message)
    raise InvalidRequestError(f"Cohere has no role {role!r}")


def _content(content: Any, kinds: Sequence[str]) -> Any:
    if isinstance(content, str):
        return content
    parts = parts_of(content)
    for kind in (part.get("type") for part in parts):
        if kind not in kinds:
            allowed = " and ".join(kinds)
            raise InvalidRequestError(f"Cohere accepts only {allowed} parts here, got {kind!r}")
    said = [part for part in parts if part.get("type") != "text" or part.get("text")]
    return [plain_part(part) for part in said]


def _assistant(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return an earlier completion, with its plan, thinking and citations."""
    thinking = message.get("reasoning_content")
    parts = [{"type": "thinking", "thinking": thinking}] if thinking else []
    text = text_of(message.get("content")) or message.get("refusal")
    if text:
        parts.append({"type": "text", "text": text})
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    return present(
        role="assistant",
        content=parts or None,
        tool_plan=message.get("tool_plan") or None,
        tool_calls=calls or None,
        citations=message.get("citations") or None,
    )


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not function:
        raise InvalidRequestError("a tool call must have a function: Cohere has no custom tools")
    called = {"name": function.get("name"), "arguments": arguments_text(call)}
    return {"id": call.get("id"), "type": "function", "function": called}
