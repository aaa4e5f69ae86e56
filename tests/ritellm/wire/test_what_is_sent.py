"""What a caller asks, and the body that a server accepts: a table for each kind of difference."""

from __future__ import annotations

import re

import orjson
import pytest

from ritellm import wire as wires
from ritellm.calls.prepare import plan
from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.providers import PROVIDERS

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ENVIRON = {
    **{name: "k" for row in PROVIDERS.values() for name in row.key_env.split()},
    "AWS_REGION": "us-east-1",
    "AZURE_API_BASE": "https://r.openai.azure.com",
    "DATABRICKS_HOST": "h",
    "SNOWFLAKE_ACCOUNT": "a",
    "VERTEXAI_PROJECT": "p",
}
CHAT = sorted(
    f"{row.name}/m"
    for row in PROVIDERS.values()
    if row.wire in ("openai_chat", "azure_chat") and not row.launcher
)
STRICT = ["mistral/m", "groq/m", "fireworks_ai/m"]


def sent(model, messages=HI, **arguments):
    """Return the body of a request."""
    planned = plan(model, messages, ENVIRON, **arguments)
    wire = wires.load(planned.endpoint.wire)
    return orjson.loads(wire.build_request(planned.request, planned.endpoint).content)


def history(call=(), id="a1b2c3d4e", **message):
    """Return a conversation with one call and its result."""
    function = {"name": "now", "arguments": "{}"}
    one = {"id": id, "type": "function", "function": function, **dict(call)}
    return [
        {"role": "user", "content": "time?"},
        {"role": "assistant", "content": None, "tool_calls": [one], **message},
        {"role": "tool", "tool_call_id": id, "content": "noon"},
    ]


# --- Parameters that say nothing ----------------------------------------------------------------

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


# --- OpenAI's chat: messages --------------------------------------------------------------------

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


def test_geminis_signature_goes_back_by_the_door_that_it_came_in():
    google = {"google": {"thought_signature": "SIG"}}
    for given in (
        {"extra_content": google},
        {"provider_specific_fields": {"thought_signature": "SIG"}},
    ):
        for model in ("vertex_ai/openapi/google/gemini-3-flash", "openai/gemini-3-flash"):
            [_, assistant, _] = sent(model, history(given))["messages"]
            assert assistant["tool_calls"][0]["extra_content"] == google
        [_, turn, _] = sent("gemini/gemini-3-flash", history(given))["contents"]
        assert [part["thoughtSignature"] for part in turn["parts"]] == ["SIG"]


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


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("hosted_vllm/m", "reasoning"),
        ("deepseek/m", "reasoning_content"),
        ("moonshot/m", "reasoning_content"),
    ],
)
@pytest.mark.parametrize("came_as", ["reasoning", "reasoning_content"])
def test_reasoning_goes_back_under_the_name_that_the_server_reads(model, name, came_as):
    [_, assistant, _] = sent(model, history(**{came_as: "Hm"}))["messages"]
    assert {key: assistant.get(key) for key in ("reasoning", "reasoning_content")} == {
        "reasoning": None,
        "reasoning_content": None,
        name: "Hm",
    }


@pytest.mark.parametrize("model", CHAT)
def test_an_assistant_that_says_nothing_is_left_out(model):
    for silent in ({"content": None}, {"content": "", "tool_calls": []}, {"content": []}):
        messages = [*HI, {"role": "assistant", **silent}, {"role": "user", "content": "well?"}]
        assert sent(model, messages)["messages"] == [*HI, {"role": "user", "content": "well?"}]


def test_a_result_of_null_is_an_empty_text():
    [*_, result] = sent("openai/m", [*history()[:2], {**history()[2], "content": None}])["messages"]
    assert result["content"] == ""


# --- The ids of calls ---------------------------------------------------------------------------

LONG = "call_PTLP8xhu3uwZk4l3nlnrrJha" + "x" * 80
PATTERNS = {
    "mistral/m": r"[a-zA-Z0-9]{9}",
    "hosted_vllm/mistralai/Mistral-Small": r"[a-zA-Z0-9]{9}",
    "openai/m": r".{1,40}",
    "azure/m": r".{1,40}",
    "openai/responses/m": r".{1,64}",
    "anthropic/m": r"[a-zA-Z0-9_-]+",
    "bedrock/m": r"[a-zA-Z0-9_.:-]{1,64}",
}


def ids(body):
    """Return the ids of calls and of results in a body, in order."""
    names = "id|tool_call_id|call_id|tool_use_id|toolUseId"
    return re.findall(rf'"(?:{names})":"([^"]+)"', orjson.dumps(body).decode())


@pytest.mark.parametrize("model", PATTERNS)
@pytest.mark.parametrize("id", [LONG, "functions.now:0", "call_PTLP8xhu3uwZk4l3nlnrrJha", "é" * 9])
def test_an_id_has_the_form_that_the_server_accepts_at_both_ends(model, id):
    [called, answered] = ids(sent(model, history(id=id)))
    assert called == answered
    assert re.fullmatch(PATTERNS[model], called)
    assert ids(sent(model, history(id=id))) == [called, answered]


@pytest.mark.parametrize("model", PATTERNS)
@pytest.mark.parametrize(
    "two", [(LONG + "1", LONG + "2"), ("a.b", "a_b"), ("a_b", "a.b"), ("a:b", "a b")]
)
def test_two_calls_never_share_an_id(model, two):
    messages = [message for id in two for message in history(id=id)]
    first, again, second, last = ids(sent(model, messages))
    assert (first, second) == (again, last)
    assert first != second


@pytest.mark.parametrize("model", PATTERNS)
def test_an_id_that_fits_is_unchanged(model):
    assert ids(sent(model, history(id="a1b2c3d4e"))) == ["a1b2c3d4e"] * 2


# --- Families of models -------------------------------------------------------------------------


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
    "model", ["openai/gpt-4o", "openai/gpt-5-chat-latest", "openai/gpt-5.2", "hosted_vllm/marco-o1"]
)
def test_other_models_get_the_same_parameters(model):
    assert sent(model, temperature=0.2, drop_params=True)["temperature"] == 0.2


def test_a_model_that_reasons_on_request_refuses_sampling_only_then():
    assert sent("openai/gpt-5.1", temperature=0.2, reasoning_effort="none")["temperature"] == 0.2
    with pytest.raises(UnsupportedParamsError):
        sent("openai/gpt-5.1", temperature=0.2, reasoning_effort="low")


def test_a_router_or_a_proxy_decides_itself_what_it_leaves_out():
    assert sent("openrouter/openai/gpt-5", temperature=0.2)["temperature"] == 0.2
    proxy = {"base_url": "https://proxy.example/v1", "temperature": 0.2}
    assert sent("openai/gpt-5", **proxy)["temperature"] == 0.2
    assert "temperature" not in sent("openai/gpt-5", **proxy, drop_params=True)


@pytest.mark.parametrize(
    ("model", "wanted", "level"),
    [
        ("openai/o3", "minimal", "low"),
        ("openai/o3", "xhigh", "high"),
        ("openai/gpt-5", "minimal", "minimal"),
        ("openai/gpt-5.1", "minimal", "low"),
        ("openai/gpt-5.2", "xhigh", "xhigh"),
        ("openai/gpt-5", "none", "none"),
        ("openai/m", "minimal", "minimal"),
        ("groq/openai/gpt-oss-120b", "max", "high"),
        ("xai/grok-3-mini", "medium", "high"),
    ],
)
def test_a_level_that_a_model_lacks_is_the_next_one_up_or_the_highest(model, wanted, level):
    assert sent(model, reasoning_effort=wanted)["reasoning_effort"] == level


# --- Media types --------------------------------------------------------------------------------

MEDIA = {
    "image/jpg": "image/jpeg",
    "image/JPEG": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/PNG": "image/png",
    "image/png;charset=utf-8": "image/png",
    "IMAGE/X-PNG; q=1": "image/png",
    "image/webp": "image/webp",
}
IMAGES = ["openai/m", "mistral/m", "openai/responses/m", "anthropic/m", "gemini/m", "bedrock/m"]
IMAGES += ["cohere/m", "vertex_ai/claude-m"]


def shown(kind, scheme="data"):
    """Return a message with an image whose media type is `kind`."""
    image = {"url": f"{scheme}:{kind};base64,/9j/4GpwZWc="}
    text = {"type": "text", "text": "what?"}
    return [{"role": "user", "content": [text, {"type": "image_url", "image_url": image}]}]


@pytest.mark.parametrize("model", IMAGES)
@pytest.mark.parametrize("given", MEDIA)
def test_the_media_type_of_an_image_has_its_registered_spelling(model, given):
    assert sent(model, shown(given)) == sent(model, shown(MEDIA[given]))
    assert MEDIA[given].partition("/")[2] in orjson.dumps(sent(model, shown(given))).decode()


def test_the_scheme_of_a_data_url_may_be_in_upper_case():
    for model in IMAGES:
        assert sent(model, shown("image/png", "DATA")) == sent(model, shown("image/png"))


def filed(data, **file):
    return [{"role": "user", "content": [{"type": "file", "file": {"file_data": data, **file}}]}]


@pytest.mark.parametrize(
    ("model", "given", "kind"),
    [
        ("gemini/m", "video/MP4;codecs=avc1", "video/mp4"),
        ("gemini/m", "audio/x-wav", "audio/wav"),
        ("gemini/m", "application/PDF;x=1", "application/pdf"),
    ],
)
def test_the_media_type_of_a_file_has_its_registered_spelling(model, given, kind):
    [turn] = sent(model, filed(f"data:{given};base64,AAAA"))["contents"]
    assert turn["parts"] == [{"inlineData": {"mimeType": kind, "data": "AAAA"}}]


@pytest.mark.parametrize("given", ["wav", "WAV", "audio/wav", "audio/x-wav", "x-wav"])
@pytest.mark.parametrize("model", ["openai/m", "gemini/m", "bedrock/m"])
def test_a_format_of_audio_may_be_a_media_type(model, given):
    def heard(kind):
        audio = {"type": "input_audio", "input_audio": {"format": kind, "data": "AAAA"}}
        return [{"role": "user", "content": [{"type": "text", "text": "what?"}, audio]}]

    assert sent(model, heard(given)) == sent(model, heard("wav"))


def test_a_format_that_the_caller_names_has_its_registered_spelling():
    image = {"type": "image_url", "image_url": {"url": "https://x/a", "format": "image/JPG"}}
    [turn] = sent("gemini/m", [{"role": "user", "content": [image]}])["contents"]
    assert turn["parts"] == [{"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x/a"}}]


def test_a_text_is_read_by_its_charset():
    latin = "data:text/plain;charset=ISO-8859-1;base64,WvxyaWNo"
    [turn] = sent("anthropic/m", filed(latin))["messages"]
    assert turn["content"][0]["source"]["data"] == "Zürich"


@pytest.mark.parametrize(
    ("kind", "format"),
    [
        ("image/JPG", {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}),
        (
            "application/json",
            {"document": {"format": "txt", "name": "document", "source": {"bytes": "AAAA"}}},
        ),
    ],
)
def test_bedrock_gets_a_file_as_what_it_is(kind, format):
    [turn] = sent("bedrock/m", filed(f"data:{kind};base64,AAAA"))["messages"]
    assert turn["content"][0] == format
