"""How many tokens a request may take, before anybody has counted: for reserving. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

# UTF-8 bytes a token: 4 in English, 3 in Chinese; a reservation had better be too large.
_BYTES_PER_TOKEN = 3
_IMAGE_TOKENS = 1500
# Where a message holds what the model has written.
_TEXTS = ("content", "reasoning_content", "refusal", "tool_calls", "function_call")


def estimate(request: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the tokens to reserve for the prompt of a chat body, and for its answer if limited.

    Rather too many than too few: nobody but the provider can count.
    """
    asked = {name: request[name] for name in ("messages", "tools", "functions") if name in request}
    bytes_of_text, images = _measure(asked)
    prompt = -(-bytes_of_text // _BYTES_PER_TOKEN) + images * _IMAGE_TOKENS
    limit = _count(request, "max_completion_tokens") or _count(request, "max_tokens")
    return prompt, None if limit is None else limit * (_count(request, "n") or 1)


def estimate_text(completion: Mapping[str, Any]) -> int:
    """Return the tokens that the texts of a completion may have taken, whatever they are."""
    messages = [choice.get("message") or {} for choice in completion.get("choices") or ()]
    texts = [message.get(name) for message in messages for name in _TEXTS]
    return -(-sum(map(_bytes_of, texts)) // _BYTES_PER_TOKEN)


def _bytes_of(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_bytes_of(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(map(_bytes_of, value))
    return len(value.encode(errors="replace")) if isinstance(value, str) else 0


def tier_requested(request: Mapping[str, Any]) -> str | None:
    """Return the service tier that a request asks for; what `extra_body` says is sent last."""
    extra = request.get("extra_body")
    for body in (extra if isinstance(extra, Mapping) else {}, request):
        for name in ("service_tier", "serviceTier", "speed"):
            tier = body.get(name)
            tier = tier.get("type") if isinstance(tier, Mapping) else tier  # Bedrock's
            if tier:
                return str(tier)
    return None


def _count(request: Mapping[str, Any], name: str) -> int | None:
    """Return a number above 0, or None for anything else: the provider will say what is wrong."""
    value = request.get(name)
    return value if isinstance(value, int) and value > 0 else None


def _measure(value: Any) -> tuple[int, int]:
    """Return the bytes of text in `value`, and the number of files that are in it as data."""
    files = 0

    def without_files(part: Any) -> Any:
        nonlocal files
        if isinstance(part, dict):
            return {name: without_files(inner) for name, inner in part.items()}
        if isinstance(part, list):
            return [without_files(inner) for inner in part]
        if isinstance(part, str) and part.startswith("data:"):
            files += 1
            return ""
        return part

    return len(orjson.dumps(without_files(value))), files
