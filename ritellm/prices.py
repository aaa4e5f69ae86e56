"""What tokens cost: list prices in USD per million, as the providers published them by `AS_OF`.

Prices change without notice, and yours may differ (discounts, batch, flex and priority tiers,
regions): check them before money depends on it, and correct them with a file of your own
(`load_prices`). Tokens only: searches, tools, storage and images by the piece are not in it.

Sources, the providers' own pages:
    https://platform.openai.com/docs/pricing        https://mistral.ai/pricing
    https://claude.com/pricing                      https://groq.com/pricing
    https://ai.google.dev/gemini-api/docs/pricing   https://docs.x.ai/docs/models
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.providers import route, split_model

AS_OF = "2025-11-30"

Usage = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. What is None is not priced apart.

    `cached_input` is for tokens read from the provider's cache, `cache_write` for those written to
    it (`cache_write_1h` to stay for an hour). `long` holds for the whole request once its input has
    more than `long_above` tokens.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    long_above: int | None = None
    long: Price | None = None


def _claude(input: float, output: float) -> Price:
    """Return Anthropic's prices: its cache is priced by fixed factors of the input."""
    return Price(input, output, input / 10, input * 1.25, input * 2)


_SONNET = replace(_claude(3, 15), long_above=200_000, long=_claude(6, 22.50))
_GEMINI_PRO = Price(1.25, 10, 0.125, long_above=200_000, long=Price(2.50, 15, 0.25))

PRICES: Mapping[str, Price] = {
    "openai/gpt-5.1": Price(1.25, 10, 0.125),
    "openai/gpt-5": Price(1.25, 10, 0.125),
    "openai/gpt-5-mini": Price(0.25, 2, 0.025),
    "openai/gpt-5-nano": Price(0.05, 0.40, 0.005),
    "openai/gpt-5-pro": Price(15, 120),
    "openai/gpt-4.1": Price(2, 8, 0.50),
    "openai/gpt-4.1-mini": Price(0.40, 1.60, 0.10),
    "openai/gpt-4.1-nano": Price(0.10, 0.40, 0.025),
    "openai/gpt-4o": Price(2.50, 10, 1.25),
    "openai/gpt-4o-2024-05-13": Price(5, 15),
    "openai/gpt-4o-mini": Price(0.15, 0.60, 0.075),
    "openai/gpt-4-turbo": Price(10, 30),
    "openai/gpt-4": Price(30, 60),
    "openai/gpt-3.5-turbo": Price(0.50, 1.50),
    "openai/o1": Price(15, 60, 7.50),
    "openai/o3": Price(2, 8, 0.50),
    "openai/o3-mini": Price(1.10, 4.40, 0.55),
    "openai/o4-mini": Price(1.10, 4.40, 0.275),
    "anthropic/claude-opus-4-5": _claude(5, 25),
    "anthropic/claude-opus-4-1": _claude(15, 75),
    "anthropic/claude-opus-4": _claude(15, 75),
    "anthropic/claude-opus-4-0": _claude(15, 75),
    "anthropic/claude-sonnet-4-5": _SONNET,
    "anthropic/claude-sonnet-4": _SONNET,
    "anthropic/claude-sonnet-4-0": _SONNET,
    "anthropic/claude-3-7-sonnet": _claude(3, 15),
    "anthropic/claude-3-5-sonnet": _claude(3, 15),
    "anthropic/claude-haiku-4-5": _claude(1, 5),
    "anthropic/claude-3-5-haiku": _claude(0.80, 4),
    "anthropic/claude-3-haiku": Price(0.25, 1.25, 0.03, 0.30, 0.50),
    "anthropic/claude-3-opus": _claude(15, 75),
    "gemini/gemini-2.5-pro": _GEMINI_PRO,
    "gemini/gemini-2.5-flash": Price(0.30, 2.50, 0.03),
    "gemini/gemini-2.5-flash-lite": Price(0.10, 0.40, 0.01),
    "gemini/gemini-2.0-flash": Price(0.10, 0.40, 0.025),
    "gemini/gemini-2.0-flash-lite": Price(0.075, 0.30),
    # Mistral's `-latest` names move to other models at other prices.
    "mistral/mistral-large-2411": Price(2, 6),
    "mistral/mistral-medium-2505": Price(0.40, 2),
    "mistral/mistral-medium-2508": Price(0.40, 2),
    "mistral/mistral-small-2506": Price(0.10, 0.30),
    "mistral/codestral-2508": Price(0.30, 0.90),
    "groq/llama-3.1-8b-instant": Price(0.05, 0.08),
    "groq/llama-3.3-70b-versatile": Price(0.59, 0.79),
    "xai/grok-3": Price(3, 15, 0.75),
    "xai/grok-3-mini": Price(0.30, 0.50, 0.075),
}
_FREE = Price(0, 0)  # runs on the caller's own machine: nobody sends a bill

# A dated snapshot costs what its model does, unless the table says otherwise.
_SNAPSHOT = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
_PER = 1_000_000


def price_of(model: str, prices: Mapping[str, Price] = PRICES) -> Price | None:
    """Return the price of `model` ("provider/model"), or None if nobody told us."""
    if model in prices:
        return prices[model]
    name = _full_name(model)
    if name.startswith("local/"):
        return _FREE
    return prices.get(name) or prices.get(_SNAPSHOT.sub("", name))


def cost(model: str, usage: Usage | None, prices: Mapping[str, Price] = PRICES) -> float | None:
    """Return what `usage` costs in USD, or None if that is not known: never a wrong 0.

    `usage` is OpenAI's, as our completions have it. Unknown are an unknown model, tokens that
    nobody counted, and audio, which has prices of its own.
    """
    price = price_of(model, prices)
    if price == _FREE:
        return 0.0
    if price is None or not usage:
        return None
    prompt, answer = usage.get("prompt_tokens"), _billed_output(usage)
    if prompt is None or answer is None or _has_audio(usage):
        return None
    if price.long is not None and prompt > (price.long_above or 0):
        price = price.long
    details = usage.get("prompt_tokens_details") or {}
    cached, written = details.get("cached_tokens") or 0, details.get("cache_creation_tokens") or 0
    written_1h = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    total = (
        max(0, prompt - cached - written) * price.input
        + cached * _or_else(price.cached_input, price.input)
        + (written - written_1h) * _or_else(price.cache_write, price.input)
        + written_1h * _or_else(price.cache_write_1h, price.input)
        + answer * price.output
    )
    return float(total / _PER)


def _full_name(model: str) -> str:
    """Return "provider/model" for whatever `completion` takes for it."""
    try:
        provider, name = split_model(model)
    except InvalidRequestError:
        return model
    return f"{provider.name}/{route(provider, name)[1]}"


def load_prices(path: str | os.PathLike[str]) -> dict[str, Price]:
    """Return our prices, corrected by the JSON file at `path`.

    {"openai/gpt-4o-mini": {"input": 0.15, "cached_input": 0.075, "output": 0.6}, ...}: the names
    are those of `Price`. Raises InvalidRequestError, and says which entry is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"cannot read prices from {path}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError(f"{path}: prices are a JSON object of models")
    return {**PRICES, **{model: _price(path, model, entry) for model, entry in found.items()}}


def _price(path: Any, model: str, entry: Any) -> Price:
    known = {field.name for field in fields(Price)}
    if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys() <= known:
        raise _wrong(path, model, f"needs input and output, and knows only {sorted(known)}")
    amounts = {name: value for name, value in entry.items() if name != "long"}
    if not all(map(_is_amount, amounts.values())) or ("long" in entry) != ("long_above" in entry):
        raise _wrong(path, model, "is made of numbers from 0; long and long_above go together")
    return Price(**amounts, long=_price(path, model, entry["long"]) if "long" in entry else None)


def _wrong(path: Any, model: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(f"{path}: the price of {model!r} (USD per million tokens) {rule}")


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _billed_output(usage: Usage) -> int | None:
    """Return the tokens billed as output. Some (xAI) count reasoning beside the completion."""
    answer: int | None = usage.get("completion_tokens")
    details = usage.get("completion_tokens_details") or {}
    reasoning: int = details.get("reasoning_tokens") or 0
    total, prompt = usage.get("total_tokens"), usage.get("prompt_tokens")
    if answer is None or total is None or prompt is None:
        return answer
    return answer + reasoning if total == prompt + answer + reasoning else answer


def _has_audio(usage: Usage) -> bool:
    sides = (usage.get("prompt_tokens_details"), usage.get("completion_tokens_details"))
    if any((side or {}).get("audio_tokens") for side in sides):
        return True
    modes = usage.get("promptTokensDetails") or ()  # Gemini's
    return any(mode.get("modality") == "AUDIO" and mode.get("tokenCount") for mode in modes)


def _or_else(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price
