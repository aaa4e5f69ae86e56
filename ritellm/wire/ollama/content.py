"""Messages as Ollama's chat takes them. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.wire.content import arguments_of, parts_of, text_of
from ritellm.wire.media import split_data_url
from ritellm.wire.request import present


def encode_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return `messages` in Ollama's shape; raises InvalidRequestError."""
    names: dict[Any, Any] = {}  # the tool's name by tool_call_id; Ollama identifies results by it
    encoded = []
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            for call in message.get("tool_calls") or ():
                names[call.get("id")] = (call.get("function") or {}).get("name")
            encoded.append(_assistant(message))
        elif role == "tool":
            call_id = message.get("tool_call_id")
            name = names.get(call_id) or message.get("name")
            content = text_of(message.get("content"))
            encoded.append(
                present(role=role, tool_name=name, tool_call_id=call_id, content=content)
            )
        elif role in ("system", "developer"):
            encoded.append({"role": "system", "content": text_of(message.get("content"))})
        elif role == "user":
            encoded.append(_user(message))
        else:
            raise InvalidRequestError(f"Ollama has no role {role!r}")
    return encoded


def _user(message: Mapping[str, Any]) -> dict[str, Any]:
    parts = parts_of(message.get("content"))
    images = [_image(part) for part in parts if part.get("type") == "image_url"]
    text = text_of([part for part in parts if part.get("type") != "image_url"])
    return present(role="user", content=text, images=images or None)


def _image(part: Mapping[str, Any]) -> str:
    image = part.get("image_url") or {}
    url = image if isinstance(image, str) else image.get("url") or ""
    data = split_data_url(url)
    if data is None:
        raise InvalidRequestError(
            f"Ollama does not fetch images: pass {url[:80]!r} as a data: URL (base64)"
        )
    return data[1]


def _assistant(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    return present(
        role="assistant",
        content=text_of(message.get("content")) or message.get("refusal") or "",
        thinking=message.get("reasoning_content") or None,
        tool_calls=calls or None,
    )


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    name = (call.get("function") or {}).get("name")
    return present(id=call.get("id"), function={"name": name, "arguments": arguments_of(call)})
