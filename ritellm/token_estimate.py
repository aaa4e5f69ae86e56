"""Estimates how many tokens a request may take, to reserve them before the provider counts. Pure.

The estimate tends to be too high: a job must not exceed its budget or hit a rate limit. The gate
(tokens per minute) and the budget of a job both use it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

# The tokens of a completion that no parameter limits; a longer completion exceeds the estimate.
USUAL_COMPLETION = 4096
# UTF-8 bytes per token: 4 in English, 3 in Chinese. The lower number makes the larger estimate.
_BYTES_PER_TOKEN = 3
_IMAGE_TOKENS = 1500
# A larger parameter counts as this: every provider will refuse it.
_MOST = 1e12
# The fields of a message that hold text of the model.
_TEXTS = ("content", "reasoning_content", "refusal", "tool_calls", "function_call")
# The parameters that become tokens of the prompt.
_SENT = (
    "messages tools functions response_format prediction extra_body additional_params"
    " chat_template_kwargs".split()
)

# The parameters that limit the length of a completion, and those that multiply it, in the spelling
# of any provider (see `plain`).
LIMITS = frozenset(
    "maxcompletiontokens maxgentokens maxnewtokens maxoutputtokens maxtokens"
    " maxtokenstosample npredict numpredict".split()
)
COUNTS = frozenset("bestof candidatecount n numgenerations numreturnsequences".split())
_THINKING = frozenset({"budgettokens", "thinkingbudget"})


def plain(name: str) -> str:
    """Return a parameter's name in one spelling: `maxTokens` and `max_tokens` become the same."""
    return name.replace("_", "").replace("-", "").lower()


def estimate_request(body: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the tokens of a chat body's prompt, and of its completion if a parameter limits them.

    Fields of `extra_body` count too, because they are merged into the body.
    """
    sent = {name: body[name] for name in _SENT if body.get(name) is not None}
    bytes_of_text, images = _measure(sent)
    prompt = -(-bytes_of_text // _BYTES_PER_TOKEN) + images * _IMAGE_TOKENS
    try:
        return prompt, _completion_limit(_flat(body))
    except RecursionError:  # refused later
        return prompt, None


def estimate_completion(completion: Mapping[str, Any]) -> int:
    """Return the tokens that all texts of a completion may have taken."""
    messages = [choice.get("message") or {} for choice in completion.get("choices") or ()]
    texts = [message.get(name) for message in messages for name in _TEXTS]
    return estimate_text(texts)


def estimate_text(text: Any) -> int:
    """Return the tokens that a text may take, or all texts in a list or an object."""
    return -(-_bytes_of(text) // _BYTES_PER_TOKEN)


def _bytes_of(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_bytes_of(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(map(_bytes_of, value))
    return len(value.encode(errors="replace")) if isinstance(value, str) else 0


def _completion_limit(sent: list[tuple[str, Any]]) -> int | None:
    limit, times = _largest(sent, LIMITS), _largest(sent, COUNTS) or 1
    if limit is None:
        thinking = _largest(sent, _THINKING) or 0
        return (USUAL_COMPLETION + thinking) * times if thinking or times > 1 else None
    return limit * times


def _flat(body: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the plain names and values of all parameters, including fields of `extra_body`."""
    own = [(plain(name), value) for name, value in body.items()]
    nested = [body.get("thinking"), body.get("extra_body")]
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
    """Return a number above 0; None for anything else, which the provider will refuse.

    Some servers accept 1e6 and "1000000" as whole numbers.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return math.ceil(min(number, _MOST)) if 0 < number < math.inf else None


def _measure(value: Any) -> tuple[int, int]:
    """Return the bytes of text in `value`, and the number of files in it (data URLs)."""
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

    # A value that is not JSON, such as a class for `response_format`, is replaced or refused later.
    # So is one with too many levels, or with text that is not Unicode.
    try:
        return len(orjson.dumps(without_files(value), default=str)), files
    except (TypeError, RecursionError):
        return 0, files
