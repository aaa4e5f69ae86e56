"""Messages as OpenAI's chat takes them, and content in parts as OpenAI's chat returns it.

No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ritellm.endpoints import Quirks

# The fields that only responses have: reasoning, our own fields, those of other dialects. Servers
# with a strict schema reject them in a request, except for the ones that they accept themselves.
_RESPONSE_ONLY = frozenset(
    "annotations content_parts images provider_specific_fields reasoning reasoning_content"
    " reasoning_details thinking_blocks".split()
)


_TEXT = ("text", "output_text", "summary_text")


def encode_messages(
    messages: Iterable[Mapping[str, Any]], quirks: Quirks
) -> list[Mapping[str, Any]]:
    """Return `messages`, with the assistant's made acceptable to the server."""
    dropped = _RESPONSE_ONLY - quirks.takes_back
    return [
        _assistant(message, dropped) if message.get("role") == "assistant" else message
        for message in messages
    ]


def _assistant(message: Mapping[str, Any], dropped: frozenset[str]) -> Mapping[str, Any]:
    kept = {
        name: value
        for name, value in message.items()
        if name == "content" or (value is not None and name not in dropped)
    }
    if isinstance(kept.get("audio"), Mapping) and "id" in kept["audio"]:
        kept["audio"] = {"id": kept["audio"]["id"]}
    if isinstance(kept.get("tool_calls"), list):
        kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
    return kept


def _call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in call.items() if name != "provider_specific_fields"}


def split_parts(delta: dict[str, Any]) -> None:
    """Turn content in parts into OpenAI's fields.

    Mistral and Databricks mix thoughts and text. Any other part is kept in `content_parts`.
    """
    texts, thoughts, others = [], [], []
    for part in delta.pop("content"):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXT:
            texts.append(part.get("text") or "")
        elif kind in ("thinking", "reasoning"):
            thoughts.append(_thought(part))
        else:
            others.append(part)
    delta["content"] = "".join(texts) if texts else None
    if thoughts:
        delta["reasoning_content"] = "".join(thoughts)
    if others:
        delta["content_parts"] = others


def _thought(part: Mapping[str, Any]) -> str:
    inner = part.get("thinking") or part.get("summary") or part.get("text") or ""
    if isinstance(inner, str):
        return inner
    return "".join(piece.get("text") or "" for piece in inner)
