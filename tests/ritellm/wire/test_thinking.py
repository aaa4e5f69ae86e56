"""Levels and budgets of thinking are ones that the model has."""

from __future__ import annotations

import pytest
from bodies import HAIKU, ON_VERTEX, OPUS, SONNET, sent

from ritellm.errors import InvalidRequestError, UnsupportedParamsError


def budget(body):
    """Return (the budget for thoughts, the limit of tokens) in a body for Claude."""
    fields = body.get("additionalModelRequestFields") or body
    limit = body.get("max_tokens") or (body.get("inferenceConfig") or {}).get("maxTokens")
    return (fields.get("thinking") or {}).get("budget_tokens"), limit


@pytest.mark.parametrize("model", [OPUS, SONNET, HAIKU, ON_VERTEX])
@pytest.mark.parametrize(
    ("effort", "limit", "expected"),
    [
        ("medium", 2048, 1024),
        ("low", 1500, 1024),
        ("low", 1024, None),
        ("low", 1000, None),
        ("high", 16384, 8192),
        ("low", 64000, 2048),
    ],
)
def test_a_budget_for_thoughts_is_less_than_the_limit(model, effort, limit, expected):
    body = sent(model, reasoning_effort=effort, max_tokens=limit)
    assert budget(body) == (expected, limit)


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (OPUS, "xhigh", (23_808, 32_000)),
        ("anthropic/claude-opus-4-20250514", "max", (23_808, 32_000)),
        ("vertex_ai/claude-opus-4-1@20250805", "xhigh", (23_808, 32_000)),
        ("bedrock/us.anthropic.claude-opus-4-1-20250805-v1:0", "xhigh", (23_808, 32_000)),
        (OPUS, "high", (16_384, 24_576)),
        (SONNET, "xhigh", (32_000, 40_192)),
        (HAIKU, "low", (2_048, 10_240)),
    ],
)
def test_the_default_limit_is_at_most_the_models(model, effort, expected):
    assert budget(sent(model, reasoning_effort=effort)) == expected


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("anthropic/claude-3-haiku-20240307", 4_096),
        ("anthropic/claude-3-5-haiku-latest", 8_192),
        (OPUS, 8_192),
        ("anthropic/claude-opus-4-6", 32_000),
    ],
)
def test_a_model_gets_a_limit_that_it_has(model, limit):
    assert sent(model)["max_tokens"] == limit


@pytest.mark.parametrize("model", [SONNET, HAIKU, ON_VERTEX])
def test_a_callers_own_budget_beyond_the_limit_is_an_error(model):
    asked = {"thinking": {"type": "enabled", "budget_tokens": 8192}, "max_tokens": 2048}
    with pytest.raises(InvalidRequestError, match="less than max_tokens, got 8192 and 2048"):
        sent(model, **asked)
    assert budget(sent(model, **asked, drop_params=True)) == (1024, 2048)


BEYOND = {"thinking": {"type": "enabled", "budget_tokens": 8192}, "max_tokens": 2048}
BETWEEN = "interleaved-thinking-2025-05-14"


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (SONNET, {"extra_headers": {"anthropic-beta": BETWEEN}}),
        (SONNET, {"extra_headers": {"Anthropic-Beta": f"context-1m-2025-08-07 ,{BETWEEN}"}}),
        (SONNET, {"headers": {"ANTHROPIC-BETA": BETWEEN}}),
        (ON_VERTEX, {"extra_headers": {"anthropic-beta": BETWEEN}}),
        (ON_VERTEX, {"extra_body": {"anthropic_beta": [BETWEEN]}}),
        (HAIKU, {"extra_body": {"additionalModelRequestFields": {"anthropic_beta": [BETWEEN]}}}),
    ],
)
def test_a_budget_may_exceed_the_limit_with_thoughts_between_calls(model, asked):
    assert budget(sent(model, **BEYOND, **asked)) == (8192, 2048)


@pytest.mark.parametrize(
    "asked",
    [
        {"extra_headers": {"x-note": BETWEEN}},
        {"extra_headers": {"anthropic-beta": f"not-{BETWEEN}"}},
        {"extra_headers": {f"x-{BETWEEN}": "1"}},
        {"headers": {"anthropic-beta": BETWEEN}, "extra_headers": {"Anthropic-Beta": "b1"}},
        {"extra_body": {"metadata": {"user_id": BETWEEN}}},
        {"extra_body": {"anthropic_beta": None, "additionalModelRequestFields": "odd"}},
    ],
)
def test_only_the_list_of_beta_features_allows_thoughts_between_calls(asked):
    with pytest.raises(InvalidRequestError, match="less than max_tokens"):
        sent(SONNET, **BEYOND, **asked)


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("gemini-2.5-pro", {"reasoning_effort": "max"}, 32_768),
        ("gemini-2.5-flash", {"reasoning_effort": "max"}, 24_576),
        ("gemini-2.5-flash-lite", {"reasoning_effort": "low", "max_tokens": 600}, 512),
        ("gemini-2.5-flash", {"reasoning_effort": "high", "max_tokens": 2048}, 1024),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, 0),
        ("gemini-2.5-flash", {"thinking": {"type": "adaptive"}}, -1),
        ("gemini-2.5-flash", {"thinking": {"type": "enabled", "budget_tokens": 50_000}}, 24_576),
        ("gemini-2.5-pro", {"thinking": {"type": "enabled", "budget_tokens": 64}}, 128),
    ],
)
@pytest.mark.parametrize("provider", ["gemini", "vertex_ai"])
def test_geminis_budget_is_one_that_the_model_has(provider, model, asked, expected):
    config = sent(f"{provider}/{model}", **asked)["generationConfig"]["thinkingConfig"]
    assert config["thinkingBudget"] == expected


def test_gemini_pro_cannot_be_told_not_to_think():
    for asked in ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}):
        with pytest.raises(UnsupportedParamsError):
            sent("gemini/gemini-2.5-pro", **asked)
        assert sent("gemini/gemini-2.5-pro", **asked, drop_params=True) == sent("gemini/m")


@pytest.mark.parametrize(
    ("model", "effort", "level"),
    [
        ("gemini-3.7-flash", "minimal", "LOW"),
        ("gemini-3.8-flash", "minimal", "LOW"),
        ("gemini-3-flash-preview", "minimal", "MINIMAL"),
        ("gemini-3.1-flash-lite", "minimal", "MINIMAL"),
        ("gemini-3-pro-preview", "medium", "HIGH"),
        ("gemini-3.1-pro-preview", "medium", "MEDIUM"),
        ("gemini-3.1-pro-preview", "minimal", "LOW"),
        ("gemini-3-flash", "xhigh", "HIGH"),
    ],
)
def test_gemini_gets_a_level_that_the_model_has(model, effort, level):
    for provider in ("gemini", "vertex_ai"):
        body = sent(f"{provider}/{model}", reasoning_effort=effort)
        assert body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level


@pytest.mark.parametrize(
    ("model", "effort", "level"),
    [
        ("claude-opus-4-6", "xhigh", "max"),
        ("claude-sonnet-4-6", "minimal", "low"),
        ("claude-opus-4-7", "xhigh", "xhigh"),
        ("claude-sonnet-5", "max", "max"),
        ("claude-next", "minimal", "low"),
    ],
)
def test_claude_gets_an_effort_that_the_model_has(model, effort, level):
    for name in (f"anthropic/{model}", f"vertex_ai/{model}"):
        assert sent(name, reasoning_effort=effort)["output_config"] == {"effort": level}
    body = sent(f"bedrock/us.anthropic.{model}-v1:0", reasoning_effort=effort)
    assert body["outputConfig"] == {"effort": level}


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("qwen3:4b", "medium", True),
        ("deepseek-r1", "none", False),
        ("gpt-oss:20b", "medium", "medium"),
        ("gpt-oss:20b", "minimal", "low"),
        ("gpt-oss:20b", "xhigh", "high"),
    ],
)
def test_only_gpt_oss_has_levels_at_ollama(model, effort, think):
    assert sent(f"ollama/{model}", reasoning_effort=effort)["think"] == think


def test_bedrock_gets_an_effort_that_the_family_has():
    nova = sent("bedrock/us.amazon.nova-2-lite-v1:0", reasoning_effort="xhigh")
    fields = nova["additionalModelRequestFields"]
    assert fields["reasoningConfig"]["maxReasoningEffort"] == "high"
    oss = sent("bedrock/openai.gpt-oss-120b-1:0", reasoning_effort="minimal")
    assert oss["additionalModelRequestFields"] == {"reasoning_effort": "low"}
