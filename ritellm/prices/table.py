"""List prices in USD per million tokens, dated and sourced. Facts only; `cost` reckons with them.

Compared on `AS_OF` with two public tables that name the providers' pages as their source: the one
in litellm 1.106.2 (`model_prices_and_context_window_backup.json`) and that of genai-prices 0.2.3.
A row stands where both say the same; those under "one source" are in genai-prices alone. The pages:
    https://developers.openai.com/api/docs/pricing  https://mistral.ai/pricing/api
    https://platform.claude.com/docs/en/about-claude/pricing  https://docs.x.ai/docs/models
    https://ai.google.dev/gemini-api/docs/pricing   https://console.groq.com/docs/models
The prices of service tiers are those of litellm 1.110.2, read on 2026-11-29; genai-prices has none.
Two come from the providers' own pages of that day: half for each of Anthropic's batches, and the
list price for Groq's flex (https://console.groq.com/docs/flex-processing). A tier that a row does
not name has no known price, for example Anthropic's priority, which is sold by contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

AS_OF = "2026-11-22"


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. What is None is not priced apart.

    `cached_input` is for tokens read from the provider's cache, `cache_write` for those written to
    it (`cache_write_1h` to stay for an hour). `long` holds for the whole request once its input has
    more than `long_above` tokens; without it such a request has no known price.

    `tiers` holds the other service tiers by name: a price, or a factor of this one.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    long_above: int | None = None
    long: Price | None = None
    tiers: Mapping[str, Price | float] = field(default_factory=dict)


_HALF: Mapping[str, Price | float] = {"flex": 0.5, "batch": 0.5}
_HALF_OR_TWICE: Mapping[str, Price | float] = {**_HALF, "priority": 2}


def _claude(
    input: float, output: float, cached_input: float | None = None, **tiers: Price | float
) -> Price:
    """Return Anthropic's prices: its cache is priced by fixed factors of the input."""
    cached = input / 10 if cached_input is None else cached_input
    return Price(input, output, cached, input * 1.25, input * 2, tiers={"batch": 0.5, **tiers})


def _gpt(
    input: float,
    output: float,
    cached_input: float,
    cache_write: float | None,
    priority: Price | float = 2,
) -> Price:
    """Return OpenAI's prices for a model whose long inputs cost more, by fixed factors."""
    written = None if cache_write is None else cache_write * 2
    long = Price(input * 2, output * 1.5, cached_input * 2, written)
    tiers = {**_HALF, "priority": priority}
    return Price(input, output, cached_input, cache_write, None, 272_000, long, tiers)


def _older(
    input: float,
    output: float,
    cached_input: float | None = None,
    *,
    flex: bool = False,
    priority: Price | None = None,
) -> Price:
    """Return OpenAI's prices for a model whose batches know no price for cached tokens."""
    tiers: dict[str, Price | float] = {"batch": Price(input / 2, output / 2)}
    tiers |= {"flex": 0.5} if flex else {}
    tiers |= {"priority": priority} if priority else {}
    return Price(input, output, cached_input, tiers=tiers)


def _gemini(listed: Price, *, cached_at_half: bool = True) -> Price:
    """Return Google's prices; some models' cached tokens cost in flex what they cost elsewhere."""
    half = _half(listed, cached_at_half)
    return replace(listed, tiers={"flex": half, "batch": half, "priority": 1.8})


def _half(price: Price, cached_too: bool) -> Price:
    cached = (price.cached_input or 0) / (2 if cached_too else 1)
    long = price.long and _half(price.long, cached_too)
    return Price(price.input / 2, price.output / 2, cached, None, None, price.long_above, long)


def _doubled(input: float, output: float, cached_input: float, above: int) -> Price:
    long = Price(input * 2, output * 2, cached_input * 2)
    return Price(input, output, cached_input, long_above=above, long=long)


# The dearer long inputs of Sonnet 4.5 are in genai-prices alone: a budget had better know them.
_SONNET_4_5 = replace(_claude(3, 15), long_above=200_000, long=_claude(6, 22.50))
_HAIKU_5_5 = replace(_claude(0.10, 0.50), long_above=100_000, long=_claude(0.50, 2.50))
_GEMINI_2_5_PRO = Price(1.25, 10, 0.125, long_above=200_000, long=Price(2.50, 15, 0.25))
_GEMINI_3_1_PRO = Price(2, 12, 0.20, long_above=200_000, long=Price(4, 18, 0.40))
# Nothing says what long inputs cost with priority.
_GPT_5_5_PRIORITY = Price(12.50, 75, 1.25, long_above=272_000)
_GPT_5_4_PRIORITY = Price(5, 30, 0.50, long_above=272_000)
_FLEX_AS_LISTED: Mapping[str, Price | float] = {"flex": 1}

PRICES: Mapping[str, Price] = {
    "openai/gpt-6.1-sol": _gpt(2, 10, 0.10, 2.50),
    "openai/gpt-6-astra": _gpt(10, 50, 1, 12.50),
    "openai/gpt-6-sol": _gpt(2, 10, 0.20, 2.50),
    "openai/gpt-6-luna": _gpt(0.10, 0.50, 0.01, 0.125),
    "openai/gpt-5.6": _gpt(4, 20, 0.40, 5),
    "openai/gpt-5.6-sol": _gpt(4, 20, 0.40, 5),
    "openai/gpt-5.6-terra": _gpt(2, 12, 0.20, 2.50),
    "openai/gpt-5.6-luna": _gpt(0.20, 1.20, 0.02, 0.25),
    "openai/gpt-5.5": _gpt(5, 30, 0.50, None, _GPT_5_5_PRIORITY),
    "openai/gpt-5.4": _gpt(2.50, 15, 0.25, None, _GPT_5_4_PRIORITY),
    "openai/gpt-5.4-mini": Price(0.75, 4.50, 0.075, tiers=_HALF_OR_TWICE),
    "openai/gpt-5.4-nano": Price(0.20, 1.25, 0.02, tiers=_HALF),
    "openai/gpt-5.2": Price(1.75, 14, 0.175, tiers=_HALF_OR_TWICE),
    "openai/gpt-5.2-pro": _older(21, 168),
    "openai/gpt-5.1": Price(1.25, 10, 0.125, tiers=_HALF_OR_TWICE),
    "openai/gpt-5": Price(1.25, 10, 0.125, tiers=_HALF_OR_TWICE),
    "openai/gpt-5-mini": Price(0.25, 2, 0.025, tiers={**_HALF, "priority": 1.8}),
    "openai/gpt-5-nano": Price(0.05, 0.40, 0.005, tiers=_HALF),
    "openai/gpt-5-pro": _older(15, 120),
    "openai/gpt-4.1": _older(2, 8, 0.50, priority=Price(3.50, 14, 0.875)),
    "openai/gpt-4.1-mini": _older(0.40, 1.60, 0.10, priority=Price(0.70, 2.80, 0.175)),
    "openai/gpt-4.1-nano": _older(0.10, 0.40, 0.025, priority=Price(0.20, 0.80, 0.05)),
    "openai/gpt-4o": _older(2.50, 10, 1.25, priority=Price(4.25, 17, 2.125)),
    "openai/gpt-4o-2024-05-13": _older(5, 15, priority=Price(8.75, 26.25)),
    "openai/gpt-4o-mini": _older(0.15, 0.60, 0.075, priority=Price(0.25, 1, 0.125)),
    "openai/gpt-4-turbo": Price(10, 30),
    "openai/gpt-4": Price(30, 60),
    "openai/gpt-3.5-turbo": Price(0.50, 1.50),
    "openai/o1": _older(15, 60, 7.50),
    "openai/o3": _older(2, 8, 0.50, flex=True, priority=Price(3.50, 14, 0.875)),
    "openai/o3-mini": _older(1.10, 4.40, 0.55),
    "openai/o4-mini": _older(1.10, 4.40, 0.275, flex=True, priority=Price(2, 8, 0.50)),
    "anthropic/claude-fable-5-1": _claude(10, 50, 0.25),
    "anthropic/claude-fable-5": _claude(10, 50),
    "anthropic/claude-opus-5-5": _claude(4, 20, 0.20, fast=2),
    "anthropic/claude-opus-5": _claude(5, 25, fast=2),
    "anthropic/claude-opus-4-8": _claude(5, 25, fast=2),
    "anthropic/claude-opus-4-7": _claude(5, 25),
    "anthropic/claude-opus-4-6": _claude(5, 25),
    "anthropic/claude-opus-4-5": _claude(5, 25),
    "anthropic/claude-sonnet-5-5": _claude(2, 10, 0.10),
    "anthropic/claude-sonnet-5": _claude(2, 10),
    "anthropic/claude-sonnet-4-6": _claude(3, 15),
    "anthropic/claude-sonnet-4-5": _SONNET_4_5,
    "anthropic/claude-haiku-5-5": _HAIKU_5_5,
    "anthropic/claude-haiku-4-5": _claude(1, 5),
    "gemini/gemini-4-argon": _gemini(Price(2, 10, 0.10)),
    "gemini/gemini-3.8-flash": _gemini(Price(0.75, 3.75, 0.075)),
    "gemini/gemini-3.7-flash": _gemini(Price(0.75, 3.75, 0.075)),
    "gemini/gemini-3.6-flash": _gemini(Price(0.75, 3.75, 0.075)),
    "gemini/gemini-3.5-flash": _gemini(Price(1.50, 9, 0.15)),
    "gemini/gemini-3.5-flash-lite": _gemini(Price(0.30, 2.50, 0.03)),
    "gemini/gemini-3.1-pro-preview": _gemini(_GEMINI_3_1_PRO, cached_at_half=False),
    "gemini/gemini-3.1-flash-lite": _gemini(Price(0.25, 1.50, 0.025)),
    "gemini/gemini-3-flash-preview": _gemini(Price(0.50, 3, 0.05), cached_at_half=False),
    "gemini/gemini-2.5-pro": _gemini(_GEMINI_2_5_PRO, cached_at_half=False),
    "gemini/gemini-2.5-flash": _gemini(Price(0.30, 2.50, 0.03), cached_at_half=False),
    "gemini/gemini-2.5-flash-lite": _gemini(Price(0.10, 0.40, 0.01), cached_at_half=False),
    # Some of Mistral's `-latest` names move to other models at other prices.
    "mistral/mistral-large-2512": Price(0.50, 1.50, 0.05),
    "mistral/mistral-medium-2604": Price(1.50, 7.50, 0.15),
    "mistral/mistral-small-2603": Price(0.15, 0.60, 0.015),
    "mistral/ministral-14b-2512": Price(0.20, 0.20, 0.02),
    "mistral/ministral-8b-2512": Price(0.15, 0.15, 0.015),
    "mistral/ministral-3b-2512": Price(0.10, 0.10, 0.01),
    "mistral/codestral-2508": Price(0.30, 0.90, 0.03),
    "groq/openai/gpt-oss-120b": Price(0.15, 0.60, 0.075, tiers=_FLEX_AS_LISTED),
    "groq/openai/gpt-oss-20b": Price(0.075, 0.30, 0.0375, tiers=_FLEX_AS_LISTED),
    "xai/grok-4.7": _doubled(2, 6, 0.50, 199_999),
    "xai/grok-4.6": _doubled(2, 6, 0.50, 199_999),
    "xai/grok-4.5": _doubled(2, 6, 0.30, 199_999),
    "xai/grok-4.3": _doubled(1.25, 2.50, 0.20, 199_999),
    # One source.
    "anthropic/claude-opus-4-1": _claude(15, 75),
    "anthropic/claude-opus-4": _claude(15, 75),
    "anthropic/claude-opus-4-0": _claude(15, 75),
    "anthropic/claude-sonnet-4": _claude(3, 15),
    "anthropic/claude-sonnet-4-0": _claude(3, 15),
    "anthropic/claude-3-7-sonnet": _claude(3, 15),
    "anthropic/claude-3-5-sonnet": _claude(3, 15),
    "anthropic/claude-3-5-haiku": _claude(0.80, 4),
    "anthropic/claude-3-haiku": Price(0.25, 1.25, 0.03, 0.30, 0.50, tiers={"batch": 0.5}),
    "anthropic/claude-3-opus": _claude(15, 75),
    "gemini/gemini-2.0-flash": Price(0.10, 0.40, 0.025),
    "gemini/gemini-2.0-flash-lite": Price(0.075, 0.30),
    "mistral/mistral-large-2411": Price(2, 6),
    "mistral/mistral-medium-2505": Price(0.40, 2, 0.04),
    "mistral/mistral-medium-2508": Price(0.40, 2, 0.04),
    "mistral/mistral-small-2506": Price(0.10, 0.30),
    "groq/llama-3.1-8b-instant": Price(0.05, 0.08, tiers=_FLEX_AS_LISTED),
    "groq/llama-3.3-70b-versatile": Price(0.59, 0.79, tiers=_FLEX_AS_LISTED),
    "xai/grok-3": Price(3, 15, 0.75),
    "xai/grok-3-mini": Price(0.30, 0.50, 0.075),
}
