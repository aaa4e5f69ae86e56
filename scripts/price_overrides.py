"""What `generate_prices` takes from genai-prices, and what it corrects.

A correction stands here because genai-prices lacks it, or because the provider's own page says
otherwise; the comment names the page. `CHECKED` is the day on which someone last compared them.
"""

from __future__ import annotations

from collections.abc import Mapping

CHECKED = "2026-11-29"

# Our name of a provider: its name in genai-prices.
SOURCES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "mistral": "mistral",
    "groq": "groq",
    "xai": "x-ai",
}

# The service tiers to take from genai-prices. A response of tier "auto" has a known price only
# where a row has no tiers, so the table leaves out the tiers of every other provider.
TIERS = {
    "openai": {"flex", "batch", "priority"},
    "anthropic": {"batch", "fast"},
}

MODELS = {
    "openai": """
        gpt-6.1-sol gpt-6-astra gpt-6-sol gpt-6-luna gpt-5.6 gpt-5.6-sol gpt-5.6-terra
        gpt-5.6-luna gpt-5.5 gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.2 gpt-5.2-pro gpt-5.1 gpt-5
        gpt-5-mini gpt-5-nano gpt-5-pro gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-2024-05-13
        gpt-4o-mini gpt-4-turbo gpt-4 gpt-3.5-turbo o1 o3 o3-mini o4-mini
    """.split(),
    "anthropic": """
        claude-fable-5-1 claude-fable-5 claude-opus-5-5 claude-opus-5 claude-opus-4-8
        claude-opus-4-7 claude-opus-4-6 claude-opus-4-5 claude-sonnet-5-5 claude-sonnet-5
        claude-sonnet-4-6 claude-sonnet-4-5 claude-haiku-5-5 claude-haiku-4-5 claude-opus-4-1
        claude-opus-4 claude-opus-4-0 claude-sonnet-4 claude-sonnet-4-0 claude-3-7-sonnet
        claude-3-5-sonnet claude-3-5-haiku claude-3-haiku claude-3-opus
    """.split(),
    "gemini": """
        gemini-4-argon gemini-3.8-flash gemini-3.7-flash gemini-3.6-flash gemini-3.5-flash
        gemini-3.5-flash-lite gemini-3.1-pro-preview gemini-3.1-flash-lite gemini-3-flash-preview
        gemini-2.5-pro gemini-2.5-flash gemini-2.5-flash-lite gemini-2.0-flash
        gemini-2.0-flash-lite
    """.split(),
    "mistral": """
        mistral-large-2512 mistral-medium-2604 mistral-small-2603 ministral-14b-2512
        ministral-8b-2512 ministral-3b-2512 codestral-2508 mistral-large-2411 mistral-medium-2505
        mistral-medium-2508 mistral-small-2506
    """.split(),
    "groq": """
        openai/gpt-oss-120b openai/gpt-oss-20b llama-3.1-8b-instant llama-3.3-70b-versatile
    """.split(),
    "xai": """
        grok-4.7 grok-4.6 grok-4.5 grok-4.3 grok-3 grok-3-mini
    """.split(),
}

# The price of a tier as a factor of the list price, or as a factor for each field of it ("*" stands
# for the others). None removes a tier that genai-prices has.
Factors = str | Mapping[str, str] | None

# Google halves the prices of these models, but not that of their cached tokens.
# https://ai.google.dev/gemini-api/docs/pricing
_HALF_EXCEPT_CACHED = {"*": "0.5", "cached_input": "1"}
_GEMINI = {"flex": "0.5", "batch": "0.5", "priority": "1.8"}
_GEMINI_FULL_CACHE = {
    "flex": _HALF_EXCEPT_CACHED,
    "batch": _HALF_EXCEPT_CACHED,
    "priority": "1.8",
}

# The first pattern that matches "provider/model" counts.
TIER_OVERRIDES: dict[str, dict[str, Factors]] = {
    # genai-prices rounds the half of a cached price up.
    "openai/gpt-5.4": {"flex": "0.5", "batch": "0.5"},
    "openai/o4-mini": {"flex": "0.5"},
    # Legacy models: a response of tier "auto" keeps its list price.
    "openai/gpt-4": {"batch": None},
    "openai/gpt-4-turbo": {"batch": None},
    "openai/gpt-3.5-turbo": {"batch": None},
    # Half for every batch: https://platform.claude.com/docs/en/about-claude/pricing
    "anthropic/*": {"batch": "0.5"},
    "gemini/gemini-2.0-*": {},
    "gemini/gemini-2.5-*": _GEMINI_FULL_CACHE,
    "gemini/gemini-3-flash-preview": _GEMINI_FULL_CACHE,
    "gemini/gemini-3.1-pro-preview": _GEMINI_FULL_CACHE,
    "gemini/*": _GEMINI,
    # The list price for flex: https://console.groq.com/docs/flex-processing
    "groq/*": {"flex": "1"},
}
