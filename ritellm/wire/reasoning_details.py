"""Read and write OpenRouter's `reasoning_details`, and join the pieces that a stream cuts.

https://openrouter.ai/docs/guides/best-practices/reasoning-tokens. A block that is sent back must be
the one that the model produced: one text, with its signature. A signature of Claude or of Gemini
is the same at each address of the model, so a conversation may continue at another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.unknown import sum_unknown

_CLAUDE_FORMAT = "anthropic-claude-v1"
_GEMINI_FORMAT = "google-gemini-v1"


def joined(details: Any) -> Any:
    """Return `details` with the pieces of each block as one block; complete ones are unchanged."""
    if not isinstance(details, (list, tuple)) or not all(isinstance(d, Mapping) for d in details):
        return details
    return sum_unknown([list(details)])


def thinking_blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return Claude's signed thoughts in a message, in Anthropic's shape, from either field."""
    if blocks := message.get("thinking_blocks"):
        return list(blocks)
    return [block for each in _details(message, _CLAUDE_FORMAT) if (block := _block(each))]


def signatures(message: Mapping[str, Any]) -> dict[str, str]:
    """Return Gemini's signatures by the ids of their calls."""
    signed = (d for d in _details(message, _GEMINI_FORMAT) if d.get("id") and d.get("data"))
    return {str(detail["id"]): str(detail["data"]) for detail in signed}


def details(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the details for thoughts that Anthropic's or Bedrock's API signed."""
    blocks = message.get("thinking_blocks") or ()
    return [d for index, block in enumerate(blocks) if (d := _detail(block, index))]


def _details(message: Mapping[str, Any], format: str) -> list[Mapping[str, Any]]:
    found = joined(message.get("reasoning_details"))
    if not isinstance(found, list):
        return []
    return [each for each in found if isinstance(each, Mapping) and each.get("format") == format]


def _block(detail: Mapping[str, Any]) -> dict[str, Any] | None:
    if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
        return {"type": "redacted_thinking", "data": detail["data"]}
    if not detail.get("signature"):
        return None
    text, signature = detail.get("text") or "", detail["signature"]
    return {"type": "thinking", "thinking": text, "signature": signature}


def _detail(block: Mapping[str, Any], index: int) -> dict[str, Any] | None:
    common = {"format": _CLAUDE_FORMAT, "index": index}
    if block.get("type") == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data"), **common}
    if not block.get("signature"):
        return None
    text, signature = block.get("thinking") or "", block["signature"]
    return {"type": "reasoning.text", "text": text, "signature": signature, **common}
