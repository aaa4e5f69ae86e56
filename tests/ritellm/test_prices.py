"""The cost of a completion is exact or unknown, never a wrong 0."""

from __future__ import annotations

import fnmatch
import json
import pickle
import runpy
from pathlib import Path

import pytest

from ritellm.errors import InvalidRequestError
from ritellm.prices import AS_OF, PRICES, cost, load_prices, price_of, reserve

MILLION = 1_000_000


def usage(prompt, completion, **more):
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


@pytest.mark.parametrize(
    ("model", "counted", "usd"),
    [
        ("openai/gpt-4o-mini", usage(MILLION, MILLION), 0.15 + 0.60),
        ("openai/gpt-4o-mini", usage(0, 0), 0),
        ("openai/gpt-4o-mini", usage(1000, 1), 0.00015 + 0.0000006),
        # Cached tokens are part of the prompt, and cheaper.
        ("openai/gpt-4o", usage(1000, 0, prompt_tokens_details={"cached_tokens": 400}),
         (600 * 2.50 + 400 * 1.25) / MILLION),
        # Where no price for them is published they cost what others do.
        ("openai/gpt-5-pro", usage(1000, 0, prompt_tokens_details={"cached_tokens": 400}), 0.015),
        # Reasoning is part of the completion at most providers ...
        ("openai/o3", usage(0, 1000, completion_tokens_details={"reasoning_tokens": 900}), 0.008),
        # ... and beside it at xAI, which the total shows.
        ("xai/grok-3-mini", {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 311,
                             "completion_tokens_details": {"reasoning_tokens": 300}},
         (10 * 0.30 + 301 * 0.50) / MILLION),
        # What Anthropic writes to its cache costs more than the rest, for an hour most.
        ("anthropic/claude-sonnet-4-5",
         usage(10_000, 100, prompt_tokens_details={"cached_tokens": 6000,
                                                   "cache_creation_tokens": 3000}),
         (1000 * 3 + 6000 * 0.30 + 3000 * 3.75 + 100 * 15) / MILLION),
        ("anthropic/claude-haiku-4-5",
         usage(3000, 0, prompt_tokens_details={"cache_creation_tokens": 3000},
               cache_creation={"ephemeral_5m_input_tokens": 1000,
                               "ephemeral_1h_input_tokens": 2000}),
         (1000 * 1.25 + 2000 * 2) / MILLION),
        # A long input makes the whole request dearer.
        ("gemini/gemini-2.5-pro", usage(200_000, 1000), (200_000 * 1.25 + 1000 * 10) / MILLION),
        ("gemini/gemini-2.5-pro", usage(200_001, 1000), (200_001 * 2.50 + 1000 * 15) / MILLION),
        # OpenAI's name for what was written to its cache.
        ("openai/gpt-5.6",
         usage(10_000, 0, prompt_tokens_details={"cached_tokens": 6000,
                                                 "cache_write_tokens": 3000}),
         (1000 * 4 + 6000 * 0.40 + 3000 * 5) / MILLION),
        ("openai/gpt-5.6",
         usage(10, 0, prompt_tokens_details={"cached_tokens": None, "cache_write_tokens": None}),
         10 * 4 / MILLION),
        ("local/gemma-3-270m", usage(1000, 1000), 0),
        ("local/gemma-3-270m", None, 0),
    ],
)  # fmt: skip
def test_a_completion_costs_its_tokens_at_their_prices(model, counted, usd):
    assert cost(model, counted) == pytest.approx(usd, abs=1e-12)


@pytest.mark.parametrize(
    ("model", "counted"),
    [
        ("openai/gpt-9", usage(1, 1)),
        ("openrouter/openai/gpt-4o-mini", usage(1, 1)),
        ("nobody/knows", usage(1, 1)),
        ("mistral/mistral-large-latest", usage(1, 1)),
        ("openai/gpt-4o-mini", None),
        ("openai/gpt-4o-mini", {}),
        ("openai/gpt-4o-mini", {"prompt_tokens": 5}),
        ("openai/gpt-4o-mini", {"prompt_tokens": None, "completion_tokens": 3}),
        ("openai/gpt-4o-mini", usage(9, 1, prompt_tokens_details={"audio_tokens": 5})),
        ("openai/gpt-4o-mini", usage(9, 1, completion_tokens_details={"audio_tokens": 1})),
        ("gemini/gemini-2.5-flash",
         usage(9, 1, promptTokensDetails=[{"modality": "AUDIO", "tokenCount": 9}])),
    ],
)  # fmt: skip
def test_an_unknown_cost_is_none_and_not_0(model, counted):
    assert cost(model, counted) is None


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai/responses/gpt-5", "openai/gpt-5"),
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-3-5-haiku-latest", "anthropic/claude-3-5-haiku"),
    ],
)
def test_a_model_has_the_same_price_under_all_its_names(name, same):
    assert price_of(name) == PRICES[same]


def test_a_snapshot_with_a_price_of_its_own_keeps_it():
    assert price_of("openai/gpt-4o-2024-05-13") != price_of("openai/gpt-4o")


BOTH = usage(MILLION, MILLION)
SHORT = usage(100_000, 100_000)


@pytest.mark.parametrize(
    ("model", "counted", "tier", "usd"),
    [
        ("openai/gpt-5", BOTH, None, 1.25 + 10),
        ("openai/gpt-5", BOTH, "default", 1.25 + 10),
        ("openai/gpt-5", BOTH, "flex", (1.25 + 10) / 2),
        ("openai/gpt-5", BOTH, "batch", (1.25 + 10) / 2),
        ("openai/gpt-5", BOTH, "priority", (1.25 + 10) * 2),
        ("openai/gpt-4o", BOTH, "priority", 4.25 + 17),
        ("openai/gpt-4o-2024-08-06", BOTH, "priority", 4.25 + 17),
        ("openai/gpt-5-mini", BOTH, "priority", 0.45 + 3.60),
        # A long input and what was cached have their own prices in each tier.
        ("openai/gpt-5.6", usage(300_000, 0), "flex", 300_000 * 4 / MILLION),
        ("openai/gpt-5.6", usage(300_000, 0), "priority", 300_000 * 16 / MILLION),
        ("openai/gpt-5.6", usage(1000, 0, prompt_tokens_details={"cache_write_tokens": 1000}),
         "flex", 2.50 / 1000),
        ("gemini/gemini-2.5-pro", usage(1000, 0, prompt_tokens_details={"cached_tokens": 1000}),
         "flex", 0.125 / 1000),
        ("gemini/gemini-2.5-pro", usage(200_001, 0), "flex", 200_001 * 1.25 / MILLION),
        ("gemini/gemini-2.5-pro", usage(200_001, 0), "priority", 200_001 * 4.50 / MILLION),
        # Where each dialect says it, and by its own words.
        ("anthropic/claude-opus-5", {**SHORT, "service_tier": "standard"}, None, 3),
        ("anthropic/claude-opus-5", {**SHORT, "service_tier": "batch"}, None, 1.50),
        ("anthropic/claude-opus-5", {**SHORT, "speed": "fast"}, None, 6),
        ("gemini/gemini-2.5-flash", {**SHORT, "trafficType": "ON_DEMAND"}, None, 0.28),
        ("gemini/gemini-2.5-flash", {**SHORT, "trafficType": "ON_DEMAND_FLEX"}, None, 0.14),
        ("gemini/gemini-2.5-flash", {**SHORT, "trafficType": "ON_DEMAND_PRIORITY"}, None, 0.504),
        ("gemini/gemini-2.5-flash", {**SHORT, "serviceTier": "standard"}, None, 0.28),
        ("gemini/gemini-2.5-flash", {**SHORT, "serviceTier": "priority"}, None, 0.504),
        ("gemini/gemini-2.5-flash", {**SHORT, "serviceTier": "SERVICE_TIER_FLEX"}, None, 0.14),
        ("groq/llama-3.1-8b-instant", BOTH, "on_demand", 0.13),
        ("groq/llama-3.1-8b-instant", BOTH, "flex", 0.13),
        # "auto" leaves nothing open where there are no tiers.
        ("mistral/mistral-large-2512", BOTH, "auto", 2),
        ("local/gemma-3-270m", BOTH, "flex", 0),
    ],
)  # fmt: skip
def test_the_tier_that_served_a_response_sets_its_price(model, counted, tier, usd):
    assert cost(model, counted, service_tier=tier) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("model", "counted", "tier"),
    [
        ("openai/gpt-5", BOTH, "scale"),
        ("openai/gpt-5", BOTH, "auto"),
        ("openai/gpt-4o", BOTH, "flex"),
        ("openai/gpt-5-nano", BOTH, "priority"),
        ("openai/gpt-5.4", usage(272_001, 1), "priority"),
        ("anthropic/claude-opus-5", {**BOTH, "service_tier": "priority"}, None),
        ("anthropic/claude-sonnet-5", {**BOTH, "speed": "fast"}, None),
        ("gemini/gemini-2.5-flash", {**BOTH, "trafficType": "PROVISIONED_THROUGHPUT"}, None),
        ("groq/llama-3.1-8b-instant", BOTH, "performance"),
        ("mistral/mistral-large-2512", BOTH, "flex"),
    ],
)
def test_a_tier_without_a_known_price_costs_none_and_not_the_list_price(model, counted, tier):
    assert cost(model, counted, service_tier=tier) is None


@pytest.mark.parametrize(
    ("model", "tier", "usd"),
    [
        ("openai/gpt-5", None, 11.25),
        ("openai/gpt-5", "default", 11.25),
        ("openai/gpt-5", "flex", 5.625),
        ("openai/gpt-5", "priority", 22.50),
        # The provider chooses, or nothing is known: the dearest.
        ("openai/gpt-5", "auto", 22.50),
        ("openai/gpt-5", "scale", 22.50),
        ("openai/gpt-5-nano", "priority", 0.45),
        ("nobody/knows", "flex", None),
    ],
)
def test_the_reservation_covers_the_requested_tier(model, tier, usd):
    assert reserve(model, BOTH, service_tier=tier) == (usd and pytest.approx(usd))


def test_the_table_is_dated_and_sane():
    assert AS_OF.startswith("20")
    for model, price in PRICES.items():
        assert "/" in model
        assert pickle.loads(pickle.dumps(price)) == price
        assert 0 < price.input <= price.output, model
        assert price.cached_input is None or price.cached_input < price.input, model
        assert (price.long is None) == (price.long_above is None), model


def test_the_table_has_the_models_that_it_is_generated_for():
    root = Path(__file__).resolve().parents[2]
    overrides = runpy.run_path(str(root / "scripts" / "price_overrides.py"))
    wanted = [f"{name}/{model}" for name, models in overrides["MODELS"].items() for model in models]
    assert list(PRICES) == wanted
    assert overrides["SOURCES"].keys() == overrides["MODELS"].keys()
    assert all(fnmatch.filter(wanted, pattern) for pattern in overrides["TIER_OVERRIDES"])


def prices_in(folder, content):
    path = folder / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_corrects_the_table_and_adds_to_it(tmp_path):
    path = prices_in(
        tmp_path,
        {
            "openai/gpt-4o-mini": {"input": 1, "output": 2, "cached_input": 0.5},
            "hosted_vllm/ours": {"input": 0.1, "output": 0.1},
            "x/y": {"input": 1, "output": 1, "long_above": 10, "long": {"input": 2, "output": 2}},
        },
    )
    prices = load_prices(path)
    assert cost("openai/gpt-4o-mini-2024-07-18", usage(MILLION, MILLION), prices) == 3
    assert cost("hosted_vllm/ours", usage(MILLION, 0), prices) == pytest.approx(0.1)
    assert cost("x/y", usage(11, 0), prices) == pytest.approx(22 / MILLION)
    assert prices["openai/gpt-4o"] == PRICES["openai/gpt-4o"]
    assert PRICES["openai/gpt-4o-mini"].output == 0.60


def test_a_file_may_price_tiers_as_factors_and_as_prices(tmp_path):
    tiers = {"flex": 0.25, "priority": {"input": 5, "output": 7}}
    path = prices_in(tmp_path, {"x/y": {"input": 1, "output": 1, "tiers": tiers}})
    prices = load_prices(path)
    costs = [cost("x/y", BOTH, prices, tier) for tier in (None, "flex", "priority", "batch")]
    assert costs == [2, 0.5, 12, None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "cannot read prices"),
        ("[]", "a JSON object of models"),
        ({"m": 3}, "'m'.* needs input and output"),
        ({"m": {"input": 1}}, "'m'.* needs input and output"),
        ({"m": {"input": 1, "output": 1, "inptu": 1}}, "may have only"),
        ({"m": {"input": -1, "output": 1}}, "numbers from 0"),
        ({"m": {"input": "1", "output": 1}}, "numbers from 0"),
        ('{"m": {"input": 1e999, "output": 1}}', "numbers from 0"),
        ('{"m": {"input": NaN, "output": 1}}', "numbers from 0"),
        ("[" * 100_000, "cannot read prices"),
        ({"m": {"input": 1, "output": 1, "long_above": 5}}, "long together with long_above"),
        ({"m": {"input": 1, "output": 1, "long_above": 5, "long": {}}}, "needs input and output"),
        ({"m": {"input": 1, "output": 1, "tiers": []}}, "'m'.* must have tiers as an object"),
        ({"m": {"input": 1, "output": 1, "tiers": {"flex": -1}}}, "'m in tier flex'.* needs input"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_entry(tmp_path, content, said):
    with pytest.raises(InvalidRequestError, match=said):
        load_prices(prices_in(tmp_path, content))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="cannot read prices"):
        load_prices(tmp_path / "nothing.json")
