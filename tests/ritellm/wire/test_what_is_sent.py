"""What a caller asks, and the body that a server accepts."""

from __future__ import annotations

import re

import orjson
import pytest
from bodies import CHAT, HAIKU, HI, ON_VERTEX, SONNET, STRICT, TOOL, filed, history, sent

from ritellm.errors import InvalidRequestError

# --- Parameters that say nothing -----------------------------------------------------------------

EVERY = [
    *CHAT,
    "openai/responses/m",
    "anthropic/m",
    "vertex_ai/claude-m",
    "gemini/m",
    "cohere/m",
    "bedrock/m",
    "ollama/m",
]


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(
    "empty",
    [
        {"tools": []},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": False},
        {"tool_choice": "auto"},
        {"stop": []},
        {"modalities": []},
    ],
    ids=str,
)
def test_an_empty_list_is_sent_as_no_list(model, empty):
    assert sent(model, **empty) == sent(model)


def test_an_empty_list_of_functions_is_sent_as_no_list():
    assert sent("openai/m", functions=[], function_call="auto") == sent("openai/m")


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_required_tool_that_is_not_described_is_an_error(model, choice):
    with pytest.raises(InvalidRequestError, match="tool_choice must not require one of no tools"):
        sent(model, tools=[], tool_choice=choice)
    assert sent(model, tools=[], tool_choice=choice, drop_params=True) == sent(model)


def test_a_choice_among_tools_of_the_body_or_a_search_is_sent():
    body = sent("openai/m", tool_choice="required", extra_body={"tools": [TOOL]})
    assert body["tool_choice"] == "required"
    body = sent("openai/responses/m", tool_choice="required", web_search_options={})
    assert body["tool_choice"] == "required"


# --- OpenAI's chat: messages ---------------------------------------------------------------------

KNOWS_DEVELOPER = ("azure", "github", "openai", "openrouter")


@pytest.mark.parametrize("model", CHAT)
def test_a_developer_is_a_system_message_where_that_role_is_unknown(model):
    [first, _] = sent(model, [{"role": "developer", "content": "Be brief."}, *HI])["messages"]
    known = model.partition("/")[0] in KNOWS_DEVELOPER
    assert first == {"role": "developer" if known else "system", "content": "Be brief."}


@pytest.mark.parametrize("model", CHAT)
def test_a_call_goes_back_without_what_only_a_response_has(model):
    given = {
        "index": 0,
        "extra_content": {"google": {"thought_signature": "SIG"}},
        "provider_specific_fields": {"x": 1},
        "function": {"name": "now", "arguments": "{}", "parsed_arguments": {}},
    }
    assert sent(model, history(given))["messages"] == sent(model, history())["messages"]


@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x":1}'])
def test_arguments_are_sent_as_text(arguments):
    body = sent("openai/m", history({"function": {"name": "now", "arguments": arguments}}))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"x":1}'


@pytest.mark.parametrize("arguments", ["", None, {}])
def test_no_arguments_are_an_empty_object(arguments):
    for model in ("openai/m", "openai/responses/m", "cohere/m"):
        body = sent(model, history({"function": {"name": "now", "arguments": arguments}}))
        assert '"arguments":"{}"' in orjson.dumps(body).decode()


@pytest.mark.parametrize("model", STRICT)
def test_a_strict_schema_gets_no_field_of_another_server(model):
    extra = {"cache_control": {"type": "ephemeral"}, "weight": 0, "citations": [1], "parsed": {}}
    text = {"type": "text", "text": "hi"}
    marked = {**text, "cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "user", "content": [marked], "cache_control": {"type": "ephemeral"}},
        {"role": "assistant", "content": "Yes?", **extra},
        {"role": "user", "content": "go"},
    ]
    assert sent(model, messages, tools=[{**TOOL, "cache_control": {}}]) == sent(
        model,
        [
            {"role": "user", "content": [text]},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "go"},
        ],
        tools=[TOOL],
    )


@pytest.mark.parametrize("model", CHAT)
def test_an_assistant_that_says_nothing_is_left_out(model):
    for silent in ({"content": None}, {"content": "", "tool_calls": []}, {"content": []}):
        messages = [*HI, {"role": "assistant", **silent}, {"role": "user", "content": "well?"}]
        assert sent(model, messages)["messages"] == [*HI, {"role": "user", "content": "well?"}]


def test_a_result_of_null_is_an_empty_text():
    [*_, result] = sent("openai/m", [*history()[:2], {**history()[2], "content": None}])["messages"]
    assert result["content"] == ""


# --- Conversations that a server would refuse ----------------------------------------------------


def test_tools_that_were_called_are_described_where_the_server_requires_it():
    told = [*history(), {"role": "user", "content": "thanks; sum up"}]
    [tool] = sent("bedrock/m", told)["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "now"
    for model in (SONNET, ON_VERTEX):
        body = sent(model, told)
        assert body["tools"] == [{"name": "now", "input_schema": {"type": "object"}}]
        assert body["tool_choice"] == {"type": "none"}
    for model in (SONNET, HAIKU):
        assert "now" not in orjson.dumps(sent(model, HI, tools=[TOOL])).decode()


def test_bedrock_gets_a_text_beside_a_document():
    [turn] = sent("bedrock/m", filed("data:application/pdf;base64,AAAA", filename="a.pdf"))[
        "messages"
    ]
    assert turn["content"][1:] == [{"text": "a"}]
    question = {"role": "user", "content": "What is it?"}
    messages = [*filed("data:application/pdf;base64,AAAA"), question]
    [turn] = sent("bedrock/m", messages)["messages"]
    assert turn["content"][1:] == [{"text": "What is it?"}]


def test_bedrock_gets_a_name_for_each_document():
    pdf = "data:application/pdf;base64,AAAA"
    messages = [*filed(pdf), *filed(pdf, filename="a.pdf"), *filed(pdf)]
    [turn] = sent("bedrock/m", messages)["messages"]
    names = [block["document"]["name"] for block in turn["content"] if "document" in block]
    assert names == ["document", "a", "document-2"]


TURNS = ["anthropic/m", "bedrock/m", "cohere/m", "gemini/m", "vertex_ai/claude-m"]
SILENT = ["", None, [], [{"type": "text", "text": ""}]]


@pytest.mark.parametrize("model", TURNS)
@pytest.mark.parametrize("silent", SILENT)
def test_an_empty_message_is_left_out_or_is_an_error(model, silent):
    silent = {"role": "user", "content": silent}
    said = {"role": "assistant", "content": "Yes?"}
    assert sent(model, [silent, *HI]) == sent(model, HI)
    for messages in ([*HI, said, silent], [silent, said, *HI], [silent]):
        with pytest.raises(InvalidRequestError, match="content"):
            sent(model, messages)


@pytest.mark.parametrize("model", ["anthropic/m", "vertex_ai/claude-m"])
def test_a_text_that_claude_continues_ends_in_no_white_space(model):
    begun = {"role": "assistant", "content": "Dear \n"}
    trimmed = {"role": "assistant", "content": "Dear"}
    assert sent(model, [*HI, begun]) == sent(model, [*HI, trimmed])
    assert sent(model, [*HI, begun, *HI]) != sent(model, [*HI, trimmed, *HI])


@pytest.mark.parametrize("model", TURNS)
def test_a_conversation_needs_a_user(model):
    with pytest.raises(InvalidRequestError, match="needs a message of the user"):
        sent(model, [{"role": "system", "content": "Be brief."}])


@pytest.mark.parametrize("model", ["anthropic/m", "bedrock/m", "gemini/m", "ollama/m"])
@pytest.mark.parametrize(
    ("arguments", "value"),
    [("null", {}), ('"{\\"x\\":1}"', {"x": 1}), ({"x": 1}, {"x": 1}), ('{"x":1}', {"x": 1})],
)
def test_arguments_are_an_object_where_the_server_requires_one(model, arguments, value):
    body = sent(model, history({"function": {"name": "now", "arguments": arguments}}))
    assert re.search(
        rf'"(?:input|args|arguments)":{re.escape(orjson.dumps(value).decode())}',
        orjson.dumps(body).decode(),
    )
    with pytest.raises(InvalidRequestError, match="must be a JSON object"):
        sent(model, history({"function": {"name": "now", "arguments": "[1]"}}))


# --- The order of roles ---------------------------------------------------------------------------

CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "a1b2c3d4e", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "noon"}
THEN = {"role": "user", "content": "and tomorrow?"}
OK = {"role": "assistant", "content": "OK."}


@pytest.mark.parametrize(
    ("model", "messages", "roles"),
    [
        ("mistral/m", [*HI, CALLED, RESULT, THEN], "user assistant tool assistant user"),
        ("hosted_vllm/mistralai/Mistral-Small", [*HI, CALLED, RESULT, RESULT, THEN],
         "user assistant tool tool assistant user"),
        # An assistant's message that says nothing is not sent.
        ("mistral/m", [*HI, CALLED, RESULT, {"role": "assistant", "content": ""}, THEN],
         "user assistant tool assistant user"),
        ("mistral/m", [*HI, CALLED, RESULT], "user assistant tool"),
        ("mistral/m", [*HI, CALLED, RESULT, {"role": "assistant", "content": "noon"}, THEN],
         "user assistant tool assistant user"),
        ("openai/m", [*HI, CALLED, RESULT, THEN], "user assistant tool user"),
        ("hosted_vllm/Qwen/Qwen3-8B", [*HI, CALLED, RESULT, THEN], "user assistant tool user"),
    ],
)  # fmt: skip
def test_a_mistral_gets_an_answer_between_a_result_and_the_users_next_message(
    model, messages, roles
):
    body = sent(model, messages=messages)
    assert " ".join(message["role"] for message in body["messages"]) == roles
    if " tool assistant user" in roles and messages[-2] is RESULT:
        assert body["messages"][-2] == OK
