"""What each dialect is sent of a schema, and how each model is asked for an answer."""

import orjson
import pytest

pytest.importorskip("jsonschema_rs")

from ritellm import Answer
from ritellm.calls.prepare import plan
from ritellm.wire import load

HI = [{"role": "user", "content": "hi"}]
SCHEMA = {
    "$defs": {
        "Tag": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^[a-z]+$"},
    },
    "type": "object",
    "title": "Row",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"], "description": "The tone."},
        "tags": {
            "type": "array",
            "items": {"$ref": "#/$defs/Tag"},
            "minItems": 2,
            "maxItems": 3,
            "uniqueItems": True,
        },
        "score": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "kind": {"const": "x"},
        "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "day": {"type": "string", "format": "date"},
        "id": {"type": "string", "format": "iri"},
    },
    "required": ["label", "tags", "score", "kind", "one", "day", "id"],
    "additionalProperties": False,
}
KEYS = {
    "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "k", "CO_API_KEY": "k",
    "AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1", "GROQ_API_KEY": "k",
    "DEEPSEEK_API_KEY": "k", "MISTRAL_API_KEY": "k", "XAI_API_KEY": "k",
    "HOSTED_VLLM_BASE_URL": "http://127.0.0.1:1/v1",
}  # fmt: skip


def body(model, schema=SCHEMA, **params):
    """Return the body that the model's provider gets."""
    made = plan(model, HI, KEYS, answer=Answer(schema), max_tokens=50, **params)
    sent = load(made.endpoint.wire).build_request(made.request, made.endpoint)
    return orjson.loads(sent.content), made.wanted.mode


def schema_in(model, schema=SCHEMA):
    sent, mode = body(model, schema)
    if mode == "tool":
        tools = sent.get("tools") or sent["toolConfig"]["tools"]
        [tool] = tools
        found = tool.get("input_schema") or tool.get("toolSpec", {}).get("inputSchema")
        return found.get("json", found)
    if "response_format" in sent:
        wanted = sent["response_format"]
        found = wanted["json_schema"]
        return found.get("schema", found) if wanted["type"] == "json_schema" else found
    if "format" in sent:
        return sent["format"]
    if "output_config" in sent:
        return sent["output_config"]["format"]["schema"]
    if "outputConfig" in sent:
        return orjson.loads(sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    return sent["generationConfig"]["responseJsonSchema"]


def keywords(node):
    """Return all keywords in a schema."""
    found = set()
    if isinstance(node, dict):
        for name, value in node.items():
            found.add(name)
            inside = value.values() if name in ("properties", "$defs") else [value]
            for each in inside:
                found |= keywords(each) if name not in ("enum", "required", "const") else set()
    if isinstance(node, list):
        for each in node:
            found |= keywords(each)
    return found


COMMON = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "enum",
    "items",
    "anyOf",
    "format",
}
COMMON |= {"description"}
BOUNDS = {"minItems", "maxItems", "minimum", "exclusiveMaximum"}
ACCEPTED = {
    "openai/gpt-4o-mini": COMMON | {"const", "pattern"} | BOUNDS,
    "anthropic/claude-sonnet-4-5": COMMON,
    "anthropic/claude-3-5-sonnet-latest": COMMON,
    "bedrock/anthropic.claude-haiku-4-5-20251001-v1:0": COMMON,
    "bedrock/amazon.nova-lite-v1:0": COMMON,
    "gemini/gemini-2.5-flash": COMMON | {"minItems", "maxItems", "minimum"},
    "cohere/command-a-03-2025": COMMON | {"const", "pattern"},
    "ollama/llama3.2": COMMON
    | {"const", "pattern", "minLength", "maxLength"} | BOUNDS,
}  # fmt: skip


@pytest.mark.parametrize("model", ACCEPTED)
def test_only_keywords_that_the_dialect_accepts_are_sent(model):
    sent = schema_in(model)
    assert keywords(sent) <= ACCEPTED[model]
    assert "$ref" not in keywords(sent)
    assert sent["properties"]["label"] == SCHEMA["properties"]["label"]


def test_what_is_left_out_moves_into_the_description():
    sent = schema_in("anthropic/claude-sonnet-4-5")["properties"]
    assert sent["tags"] == {
        "type": "array",
        "items": {
            "type": "string",
            "description": 'minLength: 1, maxLength: 9, pattern: "^[a-z]+$"',
        },
        "description": "minItems: 2, maxItems: 3, uniqueItems: true",
    }
    assert sent["kind"] == {"enum": ["x"]}
    assert sent["one"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert sent["day"]["format"] == "date"
    assert sent["id"] == {"type": "string", "description": 'format: "iri"'}


def row(**properties):
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({**row(a={"type": "string"}), "required": ["a"]}, True),
        (row(a={"type": ["string", "null"]}), True),
        (row(a={"anyOf": [{"type": "integer"}, {"type": "null"}]}), True),
        (row(a={"type": "string"}), False),
        ({"type": "object", "additionalProperties": {"type": "string"}}, False),
        ({**row(a=row(b={"type": "string"})), "required": ["a"]}, False),
    ],
    ids=["required", "nullable", "optional or null", "optional", "a map", "optional inside"],
)
def test_strict_is_set_only_if_it_changes_nothing_about_valid_answers(schema, strict):
    sent, _ = body("openai/gpt-4o-mini", schema)
    shape = sent["response_format"]["json_schema"]
    assert shape["strict"] is strict
    if strict:
        assert shape["schema"]["required"] == ["a"]
    assert shape["schema"].get("additionalProperties") == schema.get("additionalProperties", False)


TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "parts"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("openai/gpt-4o-mini", "json_schema"),
        ("anthropic/claude-sonnet-4-5", "tool"),
        ("gemini/gemini-2.5-flash", "json_object"),
        ("ollama/llama3.2", "json_schema"),
    ],
)
def test_a_recursive_schema_is_asked_for_in_a_way_that_can_express_it(model, mode):
    assert body(model, TREE)[1] == mode


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("openai/gpt-4o-mini", "json_schema"),
        ("openai/gpt-4o-2024-08-06", "json_schema"),
        ("openai/gpt-4o-2024-05-13", "json_object"),
        ("openai/gpt-4-turbo", "json_object"),
        ("openai/gpt-3.5-turbo", "json_object"),
        ("openai/gpt-3.5-turbo-0613", "prompt"),
        ("openai/gpt-4", "prompt"),
        ("openai/gpt-4.1-mini", "json_schema"),
        ("openai/gpt-5", "json_schema"),
        ("openai/responses/gpt-5", "json_schema"),
        ("anthropic/claude-3-haiku-20240307", "tool"),
        ("anthropic/claude-3-7-sonnet-latest", "tool"),
        ("anthropic/claude-sonnet-4-20250514", "tool"),
        ("anthropic/claude-sonnet-4-0", "tool"),
        ("anthropic/claude-opus-4-1-20250805", "json_schema"),
        ("anthropic/claude-sonnet-4-5-20250929", "json_schema"),
        ("anthropic/claude-haiku-4-5", "json_schema"),
        ("anthropic/claude-opus-4-6", "json_schema"),
        ("anthropic/claude-opus-5", "json_schema"),
        ("bedrock/us.anthropic.claude-3-5-sonnet-20241022-v2:0", "tool"),
        ("bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "json_schema"),
        ("bedrock/amazon.nova-pro-v1:0", "tool"),
        ("bedrock/meta.llama3-1-70b-instruct-v1:0", "prompt"),
        ("gemini/gemini-2.0-flash", "json_object"),
        ("gemini/gemini-3-flash", "json_schema"),
        ("gemini/gemma-3-27b-it", "prompt"),
        ("cohere/command-r-08-2024", "json_schema"),
        ("cohere/command-r-03-2024", "prompt"),
        ("groq/openai/gpt-oss-20b", "json_schema"),
        ("groq/llama-3.3-70b-versatile", "json_object"),
        ("deepseek/deepseek-chat", "json_object"),
        ("mistral/mistral-small-latest", "json_schema"),
        ("hosted_vllm/Qwen/Qwen3-8B", "json_schema"),
    ],
)
def test_each_model_is_asked_by_its_best_documented_way(model, mode):
    assert body(model)[1] == mode


def with_columns(count, part, required):
    names = [f"c{n}" for n in range(count)]
    made = {"type": "object", "properties": dict.fromkeys(names, part)}
    return {**made, "required": names if required else []}


@pytest.mark.parametrize("model", ["anthropic/claude-opus-4-5", "bedrock/anthropic.claude-haiku"])
@pytest.mark.parametrize(
    ("schema", "mode"),
    [
        (with_columns(24, {"type": "string"}, required=False), "json_schema"),
        (with_columns(25, {"type": "string"}, required=False), "tool"),
        (with_columns(25, {"type": "string"}, required=True), "json_schema"),
        (with_columns(16, {"type": ["string", "null"]}, required=True), "json_schema"),
        (with_columns(17, {"type": ["string", "null"]}, required=True), "tool"),
        (with_columns(17, {"anyOf": [{"type": "null"}]}, required=True), "tool"),
        (with_columns(1, {"enum": ["a", 1, None]}, required=True), "json_schema"),
        (with_columns(1, {"enum": [["a"]]}, required=True), "tool"),
    ],
)
def test_a_schema_beyond_the_limits_of_claude_is_a_tool(model, schema, mode):
    assert body(model, schema)[1] == mode
    assert schema_in(model, schema)["properties"].keys() == schema["properties"].keys()


def test_a_tuple_is_not_sent_to_llama_cpp_which_reads_it_wrong():
    schema = with_columns(1, {"type": "array", "prefixItems": [{"type": "string"}]}, required=True)
    sent, _ = body("llamacpp/m", schema, base_url="http://127.0.0.1:1/v1")
    part = sent["response_format"]["json_schema"]["schema"]["properties"]["c0"]
    assert part == {"type": "array", "description": 'prefixItems: [{"type": "string"}]'}


def test_a_model_that_thinks_is_not_made_to_call_a_tool():
    sent, mode = body("anthropic/claude-3-7-sonnet-latest", reasoning_effort="low")
    assert mode == "prompt"
    assert "tools" not in sent


@pytest.mark.parametrize("model", ["deepseek/deepseek-chat", "openai/gpt-4", "ollama/llama3.2"])
def test_a_model_that_does_not_see_the_schema_gets_it_in_the_prompt(model):
    sent, _ = body(model)
    first, *rest = sent["messages"]
    assert first["role"] == "system"
    assert "JSON" in first["content"]
    assert '"maxItems":3' in first["content"]
    assert [{"role": each["role"], "content": each["content"]} for each in rest] == HI


def test_the_schema_follows_a_system_message_of_the_caller():
    messages = [{"role": "system", "content": "Be brief."}, *HI]
    made = plan("deepseek/x", messages, KEYS, answer=Answer("a:int"))
    assert made.request.messages[0]["content"].startswith(
        "Be brief.\n\nAnswer with one JSON object"
    )
    assert len(made.request.messages) == 2


def test_a_fallback_is_asked_in_its_own_way():
    made = plan("openai/gpt-4o-mini", HI, KEYS, answer=Answer("a:int"), fallbacks=["deepseek/x"])
    [other] = made.fallbacks
    assert (made.wanted.mode, other.wanted.mode) == ("json_schema", "json_object")
    assert other.request.params["response_format"] == {"type": "json_object"}
