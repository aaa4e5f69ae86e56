"""List prices in USD per million tokens, dated and sourced. Facts only; `prices` reckons with them.

Compared on `AS_OF` with two public tables that name the providers' pages as their source: the one
in litellm 1.106.2 (`model_prices_and_context_window_backup.json`) and that of genai-prices 0.2.3.
A row stands where both say the same; those under "one source" are in genai-prices alone. The pages:
    https://developers.openai.com/api/docs/pricing  https://mistral.ai/pricing/api
    https://platform.claude.com/docs/en/about-claude/pricing  https://docs.x.ai/docs/models
    https://ai.google.dev/gemini-api/docs/pricing   https://console.groq.com/docs/models
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

AS_OF = "2026-11-22"


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


def _claude(input: float, output: float, cached_input: float | None = None) -> Price:
    """Return Anthropic's prices: its cache is priced by fixed factors of the input."""
    cached = input / 10 if cached_input is None else cached_input
    return Price(input, output, cached, input * 1.25, input * 2)


def _gpt(input: float, output: float, cached_input: float, cache_write: float | None) -> Price:
    """Return OpenAI's prices for a model whose long inputs cost more, by fixed factors."""
    written = None if cache_write is None else cache_write * 2
    long = Price(input * 2, output * 1.5, cached_input * 2, written)
    return Price(input, output, cached_input, cache_write, long_above=272_000, long=long)


def _doubled(input: float, output: float, cached_input: float, above: int) -> Price:
    long = Price(input * 2, output * 2, cached_input * 2)
    return Price(input, output, cached_input, long_above=above, long=long)


# The dearer long inputs of Sonnet 4.5 are in genai-prices alone: a budget had better know them.
_SONNET_4_5 = replace(_claude(3, 15), long_above=200_000, long=_claude(6, 22.50))
_HAIKU_5_5 = replace(_claude(0.10, 0.50), long_above=100_000, long=_claude(0.50, 2.50))
_GEMINI_2_5_PRO = Price(1.25, 10, 0.125, long_above=200_000, long=Price(2.50, 15, 0.25))
_GEMINI_3_1_PRO = Price(2, 12, 0.20, long_above=200_000, long=Price(4, 18, 0.40))

PRICES: Mapping[str, Price] = {
    "openai/gpt-6.1-sol": _gpt(2, 10, 0.10, 2.50),
    "openai/gpt-6-astra": _gpt(10, 50, 1, 12.50),
    "openai/gpt-6-sol": _gpt(2, 10, 0.20, 2.50),
    "openai/gpt-6-luna": _gpt(0.10, 0.50, 0.01, 0.125),
    "openai/gpt-5.6": _gpt(4, 20, 0.40, 5),
    "openai/gpt-5.6-sol": _gpt(4, 20, 0.40, 5),
    "openai/gpt-5.6-terra": _gpt(2, 12, 0.20, 2.50),
    "openai/gpt-5.6-luna": _gpt(0.20, 1.20, 0.02, 0.25),
    "openai/gpt-5.5": _gpt(5, 30, 0.50, None),
    "openai/gpt-5.4": _gpt(2.50, 15, 0.25, None),
    "openai/gpt-5.4-mini": Price(0.75, 4.50, 0.075),
    "openai/gpt-5.4-nano": Price(0.20, 1.25, 0.02),
    "openai/gpt-5.2": Price(1.75, 14, 0.175),
    "openai/gpt-5.2-pro": Price(21, 168),
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
    "anthropic/claude-fable-5-1": _claude(10, 50, 0.25),
    "anthropic/claude-fable-5": _claude(10, 50),
    "anthropic/claude-opus-5-5": _claude(4, 20, 0.20),
    "anthropic/claude-opus-5": _claude(5, 25),
    "anthropic/claude-opus-4-8": _claude(5, 25),
    "anthropic/claude-opus-4-7": _claude(5, 25),
    "anthropic/claude-opus-4-6": _claude(5, 25),
    "anthropic/claude-opus-4-5": _claude(5, 25),
    "anthropic/claude-sonnet-5-5": _claude(2, 10, 0.10),
    "anthropic/claude-sonnet-5": _claude(2, 10),
    "anthropic/claude-sonnet-4-6": _claude(3, 15),
    "anthropic/claude-sonnet-4-5": _SONNET_4_5,
    "anthropic/claude-haiku-5-5": _HAIKU_5_5,
    "anthropic/claude-haiku-4-5": _claude(1, 5),
    "gemini/gemini-4-argon": Price(2, 10, 0.10),
    "gemini/gemini-3.8-flash": Price(0.75, 3.75, 0.075),
    "gemini/gemini-3.7-flash": Price(0.75, 3.75, 0.075),
    "gemini/gemini-3.6-flash": Price(0.75, 3.75, 0.075),
    "gemini/gemini-3.5-flash": Price(1.50, 9, 0.15),
    "gemini/gemini-3.5-flash-lite": Price(0.30, 2.50, 0.03),
    "gemini/gemini-3.1-pro-preview": _GEMINI_3_1_PRO,
    "gemini/gemini-3.1-flash-lite": Price(0.25, 1.50, 0.025),
    "gemini/gemini-3-flash-preview": Price(0.50, 3, 0.05),
    "gemini/gemini-2.5-pro": _GEMINI_2_5_PRO,
    "gemini/gemini-2.5-flash": Price(0.30, 2.50, 0.03),
    "gemini/gemini-2.5-flash-lite": Price(0.10, 0.40, 0.01),
    # Some of Mistral's `-latest` names move to other models at other prices.
    "mistral/mistral-large-2512": Price(0.50, 1.50, 0.05),
    "mistral/mistral-medium-2604": Price(1.50, 7.50, 0.15),
    "mistral/mistral-small-2603": Price(0.15, 0.60, 0.015),
    "mistral/ministral-14b-2512": Price(0.20, 0.20, 0.02),
    "mistral/ministral-8b-2512": Price(0.15, 0.15, 0.015),
    "mistral/ministral-3b-2512": Price(0.10, 0.10, 0.01),
    "mistral/codestral-2508": Price(0.30, 0.90, 0.03),
    "groq/openai/gpt-oss-120b": Price(0.15, 0.60, 0.075),
    "groq/openai/gpt-oss-20b": Price(0.075, 0.30, 0.0375),
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
    "anthropic/claude-3-haiku": Price(0.25, 1.25, 0.03, 0.30, 0.50),
    "anthropic/claude-3-opus": _claude(15, 75),
    "gemini/gemini-2.0-flash": Price(0.10, 0.40, 0.025),
    "gemini/gemini-2.0-flash-lite": Price(0.075, 0.30),
    "mistral/mistral-large-2411": Price(2, 6),
    "mistral/mistral-medium-2505": Price(0.40, 2, 0.04),
    "mistral/mistral-medium-2508": Price(0.40, 2, 0.04),
    "mistral/mistral-small-2506": Price(0.10, 0.30),
    "groq/llama-3.1-8b-instant": Price(0.05, 0.08),
    "groq/llama-3.3-70b-versatile": Price(0.59, 0.79),
    "xai/grok-3": Price(3, 15, 0.75),
    "xai/grok-3-mini": Price(0.30, 0.50, 0.075),
}
