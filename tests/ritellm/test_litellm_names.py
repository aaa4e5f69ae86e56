"""litellm's modules and names that programs import: what they give here."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys

import pytest
from fake_server import ToolCall, chat_json, chat_stream

import ritellm as litellm
import ritellm.dropin.registry as registry_module
from ritellm.types.utils import (
    ChatCompletionDeltaToolCall,
    ChatCompletionMessageToolCall,
    ChatCompletionUserMessage,
    Choices,
    Delta,
    Function,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    Usage,
)

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def _an_openai_at_hand(fake_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")


def ask(**arguments):
    return litellm.completion(MODEL, MESSAGES, **{"num_retries": 0} | arguments)


CALLS = chat_stream("", tool_calls=[ToolCall("a", "f", ['{"x"', ":1}"])])


# ritellm.types.utils


def test_the_parts_of_a_completion_have_litellms_classes(fake_server):
    fake_server.enqueue(CALLS)
    answer = ask(stream=True).read()
    choice = answer.choices[0]
    (call,) = choice.message.tool_calls
    kinds = {
        ModelResponse: answer,
        Choices: choice,
        Message: choice.message,
        ChatCompletionMessageToolCall: call,
        Function: call.function,
        Usage: answer.usage,
    }
    assert {kind: type(value) for kind, value in kinds.items()} == {kind: kind for kind in kinds}


def test_the_parts_of_a_chunk_have_litellms_classes(fake_server):
    fake_server.enqueue(CALLS)
    chunks = list(ask(stream=True))
    choices = [chunk.choices[0] for chunk in chunks]
    calls = [call for choice in choices for call in choice.delta.tool_calls or ()]
    assert {type(chunk) for chunk in chunks} == {ModelResponseStream}
    assert {type(choice) for choice in choices} == {StreamingChoices}
    assert {type(choice.delta) for choice in choices} == {Delta}
    assert {type(call) for call in calls} == {ChatCompletionDeltaToolCall}
    assert {type(call.function) for call in calls} == {Function}
    assert type(chunks[-1].usage) is Usage


def test_a_program_can_make_the_parts_itself():
    function = Function(name="f", arguments={"x": 1})
    call = ChatCompletionMessageToolCall(id="a", function=function)
    message = Message(content="Hi", tool_calls=[call])
    answer = ModelResponse(id="c", choices=[Choices(message=message)], usage=Usage(prompt_tokens=3))
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"x": 1}'
    assert answer.usage.total_tokens == 0
    assert answer == {
        "id": "c",
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "Hi",
                "tool_calls": [
                    {"id": "a", "type": "function",
                     "function": {"name": "f", "arguments": '{"x": 1}'}},
                ],
            },
        }],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 0},
    }  # fmt: skip


def test_the_defaults_of_a_part_are_those_of_litellm():
    assert Message() == {"content": None, "role": "assistant"}
    assert Message("Hi") == Message(content="Hi")
    assert Message(content="Hi", role="user").role == "user"
    assert Choices().message == Message()
    assert Function(name="f") == {"name": "f", "arguments": ""}
    assert Delta(content="Hi").tool_calls is None
    assert ChatCompletionUserMessage(role="user", content="Hi") == {"role": "user", "content": "Hi"}


def test_a_received_part_gets_no_defaults():
    answer = ModelResponse(choices=[{"message": {"content": "Hi"}}], usage={"prompt_tokens": 3})
    assert answer.choices[0].message.content == "Hi"
    assert answer.usage.total_tokens is None
    assert answer == {"choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": 3}}
    assert ModelResponse(choices=[{}], usage={}).choices[0] == {}
    assert type(ModelResponse(usage={}).usage) is Usage
    assert ModelResponse(usage={}).usage == {}


def test_a_message_of_a_conversation_goes_back_as_it_is(fake_server):
    message = ask().choices[0].message
    litellm.completion(MODEL, [*MESSAGES, message, Message(content="Hi", role="user")])
    assert fake_server.requests[1].json["messages"][1] == message
    assert fake_server.requests[1].json["messages"][2] == {"content": "Hi", "role": "user"}


# Streams


def test_a_stream_of_either_face_is_a_custom_stream_wrapper():
    assert isinstance(ask(stream=True), litellm.CustomStreamWrapper)

    async def opened():
        return await litellm.acompletion(MODEL, MESSAGES, stream=True)

    assert isinstance(asyncio.run(opened()), litellm.CustomStreamWrapper)
    assert not isinstance(ask(), litellm.CustomStreamWrapper)
    assert litellm.utils.CustomStreamWrapper is litellm.CustomStreamWrapper


def test_a_stream_has_a_cost_once_the_provider_has_counted():
    stream = ask(stream=True)
    assert stream._hidden_params["response_cost"] is None
    spent = litellm.completion_cost(stream.read())
    assert stream._hidden_params["response_cost"] == spent > 0


# What is known of models


@pytest.fixture
def registry(monkeypatch):
    """A registry of this test's own."""
    monkeypatch.setattr(registry_module, "_models", {})


def test_the_cost_of_a_completion_follows_the_model_that_gave_it(fake_server):
    fake_server.enqueue(chat_json("Hello", model="a-name-of-the-server"))
    answer = litellm.completion("gpt-4o-mini", MESSAGES)
    usage = answer.usage
    expected = (usage.prompt_tokens * 0.15 + usage.completion_tokens * 0.6) / 1e6
    for response in (answer, answer.copy(), pickle.loads(pickle.dumps(answer))):
        assert litellm.completion_cost(response) == pytest.approx(expected)
        assert response._hidden_params["response_cost"] == pytest.approx(expected)
        assert response._hidden_params["custom_llm_provider"] == "openai"


def test_a_cost_is_an_error_rather_than_a_wrong_zero(fake_server):
    fake_server.enqueue(chat_json("Hello", usage=None))
    uncounted = ask()
    with pytest.raises(litellm.InvalidRequestError, match="usage must have prompt_tokens"):
        litellm.completion_cost(uncounted)
    assert uncounted._hidden_params["response_cost"] is None
    with pytest.raises(litellm.ModelNotMappedError, match="register_model"):
        litellm.completion_cost(ask(), model="openai/nonsense")
    with pytest.raises(litellm.InvalidRequestError, match="pass model="):
        litellm.completion_cost(prompt="Hello")
    with pytest.raises(litellm.UnknownProviderError):
        litellm.get_llm_provider("nonsense")


def test_hidden_params_can_be_changed_and_are_not_part_of_the_json():
    answer = ask()
    answer._hidden_params["mine"] = 1
    assert answer._hidden_params["mine"] == 1
    assert "_hidden_params" not in answer.model_dump_json()
    assert litellm.ModelResponse()._hidden_params["response_cost"] is None


def test_tokens_of_a_cache_have_their_own_price():
    plain = litellm.cost_per_token("gpt-4o-mini", prompt_tokens=1000, completion_tokens=0)
    cached = litellm.cost_per_token(
        "gpt-4o-mini", prompt_tokens=1000, completion_tokens=0, cache_read_input_tokens=1000
    )
    assert plain == (pytest.approx(0.00015), 0)
    assert cached == (pytest.approx(0.000075), 0)
    custom = {"input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3}
    own = litellm.cost_per_token("x/y", 1, 1, custom_cost_per_token=custom)
    assert own == (pytest.approx(1e-3), pytest.approx(2e-3))


@pytest.mark.usefixtures("registry")
def test_a_registered_model_has_a_price_limits_and_features():
    costs = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "max_input_tokens": 9}
    registered = {
        "mine": {**costs, "litellm_provider": "openai"},
        "groq/llama": {"supports_vision": False},
    }
    litellm.register_model(registered)
    for name in ("openai/mine", "mine"):
        assert litellm.get_model_info(name, custom_llm_provider="openai")["max_input_tokens"] == 9
    assert sum(litellm.cost_per_token("openai/mine", 1, 1)) == pytest.approx(3e-6)
    assert litellm.model_cost["openai/mine"]["input_cost_per_token"] == 1e-6
    assert "openai/mine" in set(litellm.model_cost)
    assert not litellm.supports_vision("groq/llama")
    assert litellm.supports_vision("groq/other")
    assert litellm.get_model_info("groq/llama")["input_cost_per_token"] is None
    with pytest.raises(litellm.ModelNotMappedError):
        litellm.completion_cost(model="groq/llama", prompt="Hello")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("https://example.org/prices.json", "needs a dict of models, got str"),
        ({"m": 7}, "'m' must be an object, got 7"),
        ({"m": {"input_cost_per_token": "1"}}, "must be USD from 0, got '1'"),
        ({"good": {}, "m": {"output_cost_per_token": -1}}, "must be USD from 0, got -1"),
    ],
)
def test_a_wrong_registration_is_refused_whole(given, error):
    with pytest.raises(litellm.InvalidRequestError, match=error):
        litellm.register_model(given)
    assert "good" not in litellm.model_cost


def test_the_list_of_prices_is_read_only():
    with pytest.raises(TypeError):
        litellm.model_cost["mine"] = {}
    assert "claude-sonnet-4-5" in litellm.model_cost
    assert len(litellm.model_cost) == len([*litellm.model_cost]) > 50
    with pytest.raises(KeyError):
        litellm.model_cost["nonsense"]


def test_support_follows_the_dialect_and_the_providers_row():
    assert litellm.supports_parallel_function_calling("anthropic/claude-sonnet-4-5")
    assert not litellm.supports_parallel_function_calling("ollama/llama3")
    assert not litellm.supports_pdf_input("ollama/llama3")
    assert litellm.supports_vision("llama3", custom_llm_provider="ollama")
    assert litellm.supports_reasoning("openai/gpt-5-mini")
    assert not litellm.supports_reasoning("azure/gpt-4o")
    assert not litellm.supports_reasoning("bedrock/anthropic.claude-3-haiku-20240307-v1:0")
    assert litellm.get_model_info("claude-sonnet-4-5")["max_output_tokens"] == 64_000
    params = litellm.get_supported_openai_params("groq/llama")
    assert "tools" in params
    assert "logprobs" not in params  # the provider's documentation calls it unsupported
    assert "temperature" not in litellm.get_supported_openai_params("o3")
    assert "reasoning_effort" not in litellm.get_supported_openai_params("gpt-4o-mini")
    assert litellm.get_supported_openai_params("gpt-4o", request_type="embeddings") is None


@pytest.mark.parametrize(
    ("model", "environ", "given", "missing"),
    [
        ("groq/m", {}, {}, ["GROQ_API_KEY"]),
        ("groq/m", {"GROQ_API_KEY": "k"}, {}, []),
        ("groq/m", {}, {"api_key": "k"}, []),
        ("together_ai/m", {"TOGETHERAI_API_KEY": "k"}, {}, []),
        ("azure/m", {}, {}, ["AZURE_API_KEY", "AZURE_API_BASE"]),
        ("azure/m", {"AZURE_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://x"}, {}, []),
        ("databricks/m", {"DATABRICKS_TOKEN": "k"}, {}, ["DATABRICKS_HOST"]),
        ("bedrock/m", {"AWS_REGION": "eu-west-1"}, {}, ["AWS_BEARER_TOKEN_BEDROCK"]),
        (
            "bedrock/m",
            {"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"},
            {},
            [],
        ),
        ("ollama/m", {}, {}, []),
        ("local/m", {}, {}, []),
        ("nonsense", {}, {}, []),
        (None, {}, {}, []),
    ],
)
def test_what_a_provider_needs_is_looked_for_in_the_environment(
    model, environ, given, missing, monkeypatch, tmp_path
):
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path), **environ})
    found = litellm.validate_environment(model, **given)
    assert found == {"keys_in_environment": not missing, "missing_keys": missing}


def test_a_count_of_tokens_is_a_number_that_says_that_it_is_an_estimate():
    counted = litellm.token_counter("gpt-4o", messages=MESSAGES)
    assert counted > litellm.token_counter(text="Hello") == 2
    assert litellm.token_counter(text=["Hello", "Hello"]) == 4
    assert litellm.token_counter(text="") == 0
    assert (str(counted), repr(counted)) == (f"{counted:d}", f"{counted:d} (estimated)")
    assert json.loads(json.dumps({"n": counted})) == {"n": counted}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert litellm.token_counter(messages=MESSAGES, tools=tools) > counted
    with pytest.raises(litellm.InvalidRequestError, match="needs text or messages"):
        litellm.token_counter("gpt-4o")


# Exceptions


def test_exceptions_of_programs_are_made_as_with_litellm():
    budget = litellm.BudgetExceededError(current_cost=2.0, max_budget=1.0)
    assert (budget.current_cost, budget.max_budget) == (2.0, 1.0)
    assert "Current cost: 2.0, Max budget: 1.0" in str(budget)
    schema = litellm.JSONSchemaValidationError("m", "openai", "{", "{}")
    assert (schema.model, schema.llm_provider, schema.raw_response) == ("m", "openai", "{")
    assert isinstance(schema, litellm.APIResponseValidationError)
    assert issubclass(litellm.ImageFetchError, litellm.BadRequestError)
    assert issubclass(litellm.RouterRateLimitError, ValueError)
    for error in (budget, schema, litellm.ImageFetchError("gone", llm_provider="openai")):
        twin = pickle.loads(pickle.dumps(error))
        assert type(twin) is type(error)
        assert (str(twin), vars(twin)) == (str(error), vars(error))


# Imports


def test_litellms_modules_are_reached_as_attributes_and_by_import():
    code = (
        "import ritellm, sys; before = set(sys.modules)\n"
        "from ritellm.utils import supports_response_schema\n"
        "assert ritellm.utils.supports_response_schema is supports_response_schema\n"
        "assert ritellm.cost_calculator.completion_cost is ritellm.completion_cost\n"
        "assert ritellm.types.utils.Delta is ritellm.Delta\n"
        "assert ritellm.exceptions.BudgetExceededError is ritellm.BudgetExceededError\n"
        "print(*before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = {name for name in done.stdout.split() if name.startswith("ritellm")}
    assert ours == {"ritellm", "ritellm.version"}  # importing the package loads nothing else
