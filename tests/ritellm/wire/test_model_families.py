"""What a model refuses, beyond what its dialect lacks."""

from __future__ import annotations

import orjson
import pytest
from bodies import HAIKU, ON_VERTEX, OPUS, SONNET, TOOL, sent

from ritellm.errors import UnsupportedParamsError

# --- Families of models --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("openai/gpt-4o", "max_tokens"),
        ("openai/o3", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
        ("openai/ft:o4-mini-2025-04-16:org::id", "max_completion_tokens"),
        ("openai/ft:gpt-5-mini:org::id", "max_completion_tokens"),
        ("openai/openai/o3", "max_completion_tokens"),
        ("openai/ft:gpt-4o-mini:org::id", "max_tokens"),
        ("azure/prod-gpt-5-mini", "max_completion_tokens"),
        ("azure/my-o3", "max_completion_tokens"),
        ("azure/team_o4-mini_eu", "max_completion_tokens"),
        ("azure/gpt-35-turbo", "max_tokens"),
    ],
)
def test_a_family_is_found_inside_a_models_name(model, name):
    body = sent(model, max_tokens=100)
    assert {key: body[key] for key in body if key.startswith("max_")} == {name: 100}


def test_a_limit_is_sent_under_one_name():
    body = sent("openai/gpt-4o", max_tokens=100, max_completion_tokens=50)
    assert [body[key] for key in body if key.startswith("max_")] == [50]


REFUSED = {
    "openai/gpt-5-mini": {"temperature": 0.2},
    "openai/o3": {"temperature": 0.2, "top_p": 0.5, "stop": ["x"]},
    "openai/ft:o4-mini:org::id": {"presence_penalty": 1},
    "openai/responses/gpt-5": {"temperature": 0.2},
    "azure/prod-gpt-5-nano": {"top_p": 0.5},
    "anthropic/claude-opus-4-7": {"temperature": 0.2},
    "anthropic/claude-sonnet-5": {"top_k": 5},
    "vertex_ai/claude-opus-4-8": {"top_p": 0.5},
    "bedrock/us.anthropic.claude-opus-4-7": {"temperature": 0.2, "top_k": 5},
    "xai/grok-4": {"stop": ["x"], "reasoning_effort": "low"},
    "xai/grok-4-1-fast-reasoning": {"presence_penalty": 1},
    "openai/gpt-4o": {"reasoning_effort": "low"},
    "azure/gpt-35-turbo": {"reasoning_effort": "low"},
    "deepseek/deepseek-reasoner": {"logprobs": True},
}


@pytest.mark.parametrize("model", REFUSED)
def test_what_a_model_refuses_is_dropped_or_is_an_error(model):
    assert sent(model, **REFUSED[model], drop_params=True) == sent(model)
    with pytest.raises(UnsupportedParamsError, match=r"does not accept .*drop_params=True"):
        sent(model, **REFUSED[model])
    assert sent(model, extra_body=REFUSED[model]) == sent(model) | REFUSED[model]


@pytest.mark.parametrize("model", ["openai/gpt-5-mini", "openai/o3", "anthropic/claude-opus-4-7"])
def test_a_default_changes_nothing_and_is_left_out_where_it_would_be_refused(model):
    assert sent(model, temperature=1, top_p=1.0) == sent(model)


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-4o",
        "openai/gpt-5-chat-latest",
        "openai/gpt-5.2",
        "hosted_vllm/AIDC-AI/Marco-o1",
        "hosted_vllm/TeichAI/Qwen3-8B-GPT-5-Codex-Distill",
        "lm_studio/qwen3-claude-5-opus-gguf",
    ],
)
def test_other_models_get_the_same_parameters(model):
    assert sent(model, temperature=0.2, drop_params=True)["temperature"] == 0.2


def test_a_model_that_reasons_on_request_refuses_sampling_only_then():
    assert sent("openai/gpt-5.1", temperature=0.2, reasoning_effort="none")["temperature"] == 0.2
    with pytest.raises(UnsupportedParamsError):
        sent("openai/gpt-5.1", temperature=0.2, reasoning_effort="low")


def test_a_server_of_ones_own_gets_what_the_caller_says():
    for model in ("hosted_vllm/gpt-5", "llamacpp/gpt-5", "lm_studio/gpt-5"):
        assert sent(model, temperature=0.2)["temperature"] == 0.2
    assert sent("ollama/gpt-5", temperature=0.2)["options"] == {"temperature": 0.2}


def test_a_router_or_a_proxy_decides_itself_what_it_leaves_out():
    for model in ("openrouter/openai/gpt-5", "perplexity/openai/gpt-5"):
        assert sent(model, temperature=0.2)["temperature"] == 0.2
    proxy = {"base_url": "https://proxy.example/v1", "temperature": 0.2}
    for model in ("openai/gpt-5", "openai/responses/gpt-5"):
        assert sent(model, **proxy)["temperature"] == 0.2
    assert "temperature" not in sent("openai/gpt-5", **proxy, drop_params=True)


@pytest.mark.parametrize(
    ("model", "wanted", "level"),
    [
        ("openai/o3", "minimal", "low"),
        ("openai/o3", "xhigh", "high"),
        ("openai/responses/o3", "minimal", "low"),
        ("openai/gpt-5", "minimal", "minimal"),
        ("openai/gpt-5.1", "minimal", "low"),
        ("openai/gpt-5.2", "xhigh", "xhigh"),
        ("openai/gpt-5", "none", "none"),
        ("openai/m", "minimal", "minimal"),
        ("groq/openai/gpt-oss-120b", "max", "high"),
        ("xai/grok-3-mini", "medium", "high"),
        ("xai/grok-4.5", "minimal", "low"),
        ("openai/gpt-5-pro", "low", "high"),
        ("mistral/mistral-medium-3-5", "low", "high"),
        ("mistral/mistral-small-latest", "none", "none"),
        ("groq/qwen/qwen3-32b", "low", "default"),
        ("groq/qwen/qwen3-32b", "none", "none"),
    ],
)
def test_a_level_that_a_model_lacks_is_the_next_one_up_or_the_highest(model, wanted, level):
    body = sent(model, reasoning_effort=wanted)
    assert (body.get("reasoning_effort") or body["reasoning"]["effort"]) == level


# --- Combinations --------------------------------------------------------------------------------

NAMED = {"type": "function", "function": {"name": "f"}}
TOGETHER = {
    "a required tool": {"tools": [TOOL], "tool_choice": "required"},
    "a named tool": {"tools": [TOOL], "tool_choice": NAMED},
    "temperature": {"temperature": 0.2},
    "top_k": {"top_k": 1},
    "top_p": {"top_p": 0.5},
}


@pytest.mark.parametrize("model", [SONNET, HAIKU, ON_VERTEX, "anthropic/claude-sonnet-4-6"])
@pytest.mark.parametrize("beside", TOGETHER)
def test_claude_does_not_think_beside_what_excludes_it(model, beside):
    both = {"reasoning_effort": "low", **TOGETHER[beside]}
    with pytest.raises(UnsupportedParamsError, match="while the model thinks"):
        sent(model, **both)
    body = orjson.dumps(sent(model, **both, drop_params=True)).decode()
    thinks = '"thinking"' in body
    assert thinks == (not beside.endswith("tool"))
    assert ("0.2" in body or "top_k" in body or "0.5" in body) is False
    for alone in ({"reasoning_effort": "low"}, TOGETHER[beside]):
        assert sent(model, **alone)


def test_claude_thinks_beside_what_does_not_exclude_it():
    body = sent(SONNET, reasoning_effort="low", temperature=1, tools=[TOOL], tool_choice="auto")
    assert body["thinking"]
    assert body["tool_choice"] == {"type": "auto"}
    assert sent(SONNET, reasoning_effort="low", top_p=0.97)["top_p"] == 0.97
    assert sent(SONNET, reasoning_effort="none", temperature=0.2)["temperature"] == 0.2


@pytest.mark.parametrize(
    "model", [OPUS, SONNET, "vertex_ai/claude-opus-4-5", "anthropic/claude-sonnet-4-6"]
)
def test_claude_has_either_temperature_or_top_p(model):
    with pytest.raises(UnsupportedParamsError, match=r"top_p 0\.5 beside temperature"):
        sent(model, temperature=0.2, top_p=0.5)
    assert sent(model, temperature=0.2, top_p=0.5, drop_params=True) == sent(model, temperature=0.2)
    assert sent(model, temperature=0.2, top_p=1) == sent(model, temperature=0.2)
    assert sent(model, temperature=1, top_p=0.5) == sent(model, top_p=0.5)
    assert sent("anthropic/claude-sonnet-4-0", temperature=0.2, top_p=0.5)["top_p"] == 0.5


def test_a_budget_is_refused_where_only_effort_counts():
    asked = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    with pytest.raises(UnsupportedParamsError, match="set reasoning_effort instead"):
        sent("anthropic/claude-opus-4-7", **asked)
    body = sent("anthropic/claude-opus-4-7", **asked, drop_params=True)
    assert body["thinking"]["type"] == "adaptive"


def test_a_claude_that_cannot_think_is_not_told_to():
    with pytest.raises(UnsupportedParamsError):
        sent("anthropic/claude-3-5-haiku-latest", reasoning_effort="low")
    model = "anthropic/claude-3-5-haiku-latest"
    assert sent(model, reasoning_effort="low", drop_params=True) == sent(model)


@pytest.mark.parametrize("model", [SONNET, HAIKU])
def test_claude_gets_no_stop_sequence_of_white_space(model):
    with pytest.raises(UnsupportedParamsError, match="white space"):
        sent(model, stop=["\n", "END"])
    assert sent(model, stop=["\n", "END"], drop_params=True) == sent(model, stop=["END"])


JSON = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize("provider", ["gemini", "vertex_ai"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"tools": [TOOL]}, JSON),
        ({"web_search_options": {}}, JSON),
        ({"tools": [TOOL]}, {"web_search_options": {}}),
    ],
)
def test_gemini_before_3_takes_some_parameters_apart_only(provider, first, second):
    old, new = f"{provider}/gemini-2.5-flash", f"{provider}/gemini-3-flash"
    with pytest.raises(UnsupportedParamsError, match=r"beside tools for gemini-2\.5-flash"):
        sent(old, **first, **second)
    assert sent(old, **first, **second, drop_params=True) == sent(old, **first)
    assert sent(new, **first, **second)


def test_a_gemini_that_cannot_think_is_not_told_to():
    model = "gemini/gemini-2.0-flash"
    with pytest.raises(UnsupportedParamsError):
        sent(model, reasoning_effort="low")
    assert sent(model, reasoning_effort="low", drop_params=True) == sent(model)
    assert sent(model, reasoning_effort="none") == sent(model)


@pytest.mark.parametrize("model", ["anthropic/m", "bedrock/m", "cohere/m"])
def test_the_arguments_of_a_tool_are_an_object_also_if_its_schema_does_not_say_so(model):
    def described(**schema):
        return [{"type": "function", "function": {"name": "f", "parameters": schema}}]

    properties = {"x": {"type": "string"}}
    assert sent(model, tools=described(properties=properties)) == sent(
        model, tools=described(type="object", properties=properties)
    )


def test_nova_has_no_sampling_beside_the_highest_effort():
    model = "bedrock/us.amazon.nova-2-lite-v1:0"
    with pytest.raises(UnsupportedParamsError, match="temperature beside reasoning_effort high"):
        sent(model, reasoning_effort="high", temperature=0.2)
    dropped = sent(model, reasoning_effort="high", temperature=0.2, top_p=0.5, drop_params=True)
    assert dropped == sent(model, reasoning_effort="high")
    assert sent(model, reasoning_effort="low", temperature=0.2)["inferenceConfig"]


def test_cohere_has_no_json_beside_tools():
    with pytest.raises(UnsupportedParamsError, match="JSON as response_format beside tools"):
        sent("cohere/m", tools=[TOOL], **JSON)
    assert sent("cohere/m", tools=[TOOL], **JSON, drop_params=True) == sent(
        "cohere/m", tools=[TOOL]
    )
    assert sent("cohere/m", tools=[], **JSON)["response_format"] == {"type": "json_object"}
