"""How many tokens a request may take, before anybody has counted: for reserving. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

# Reserved for a completion whose length the request does not limit; a longer one can overshoot.
ANSWER_TOKENS = 4096
# UTF-8 bytes a token: 4 in English, 3 in Chinese; a reservation had better be too large.
_BYTES_PER_TOKEN = 3
_IMAGE_TOKENS = 1500
# Where a message holds what the model has written.
_TEXTS = ("content", "reasoning_content", "refusal", "tool_calls", "function_call")
# What becomes tokens of the prompt, as far as its bytes say how many.
_SENT = (
    "messages tools functions response_format prediction extra_body additional_params"
    " chat_template_kwargs".split()
)

# What limits the length of a completion, and what multiplies it, in any provider's spelling.
LIMITS = frozenset(
    "maxcompletiontokens maxgentokens maxnewtokens maxoutputtokens maxtokens"
    " maxtokenstosample npredict numpredict".split()
)
COUNTS = frozenset("bestof candidatecount n numgenerations numreturnsequences".split())
_THINKING = frozenset({"budgettokens", "thinkingbudget"})


def plain(name: str) -> str:
    """Return a parameter's name as all spell it: `maxTokens` and `max_tokens` are the same."""
    return name.replace("_", "").replace("-", "").lower()


def estimate(request: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the tokens to reserve for the prompt of a chat body, and for its answer if limited.

    Rather too many than too few: nobody but the provider can count. What `extra_body` says counts
    too, for it is what is sent in the end.
    """
    asked = {name: request[name] for name in _SENT if request.get(name) is not None}
    bytes_of_text, images = _measure(asked)
    prompt = -(-bytes_of_text // _BYTES_PER_TOKEN) + images * _IMAGE_TOKENS
    return prompt, _answer(_flat(request))


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


def _answer(sent: list[tuple[str, Any]]) -> int | None:
    limit, times = _largest(sent, LIMITS), _largest(sent, COUNTS) or 1
    if limit is None:
        thinking = _largest(sent, _THINKING) or 0
        return (ANSWER_TOKENS + thinking) * times if thinking or times > 1 else None
    return limit * times


def _flat(request: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the plain names and values that are sent: parameters, and all in `extra_body`."""
    own = [(plain(name), value) for name, value in request.items()]
    nested = [request.get("thinking"), request.get("extra_body")]
    return own + [pair for fields in nested for pair in _fields(fields)]


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield plain(str(name)), inner
            yield from _fields(inner)


def _largest(sent: list[tuple[str, Any]], names: frozenset[str]) -> int | None:
    """Return the largest number above 0 under `names`; None if there is none."""
    counts = [count for name, value in sent if name in names and (count := _count(value))]
    return max(counts, default=None)


def _count(value: Any) -> int | None:
    """Return a number above 0, or None for anything else: the provider will say what is wrong.

    Some servers take 1e6 and "1000000" for a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return math.ceil(number) if 0 < number < math.inf else None


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
