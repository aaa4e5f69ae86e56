"""An independent check: the providers' own packages accept what is sent for an answer."""

from __future__ import annotations

from typing import Any, Literal

import orjson
import pytest

pytest.importorskip("jsonschema_rs")
pydantic = pytest.importorskip("pydantic")

from replay import USER  # noqa: E402

from ritellm import Answer  # noqa: E402
from ritellm.calls.prepare import plan  # noqa: E402
from ritellm.wire import load  # noqa: E402

KEYS = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "k")
KEYS |= {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1"}


class Part(pydantic.BaseModel):
    name: str
    size: int = pydantic.Field(ge=0, lt=10)


class Review(pydantic.BaseModel):
    label: Literal["good", "bad"]
    parts: list[Part] = pydantic.Field(min_length=1, max_length=3)
    why: str | None


def body(model: str) -> dict[str, Any]:
    made = plan(model, USER, KEYS, answer=Answer(Review), max_tokens=9)
    sent = load(made.endpoint.wire).build_request(made.request, made.endpoint)
    found: dict[str, Any] = orjson.loads(sent.content)
    return found


def inlined(node: Any, root: dict[str, Any]) -> Any:
    """Return a schema without references, titles and descriptions."""
    if isinstance(node, list):
        return [inlined(each, root) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return inlined(root["$defs"][node["$ref"].rpartition("/")[2]], root)
    left_out = {"$defs", "title", "description"}
    return {name: inlined(each, root) for name, each in node.items() if name not in left_out}


def test_openai_is_sent_the_schema_that_its_own_package_makes():
    pydantic_schema = pytest.importorskip("openai.lib._pydantic")
    theirs = pydantic_schema.to_strict_json_schema(Review)
    shape = body("openai/gpt-4o-mini")["response_format"]["json_schema"]
    assert shape["strict"] is True
    assert inlined(shape["schema"], {}) == inlined(theirs, theirs)


def test_anthropic_is_sent_the_schema_that_its_own_package_makes():
    anthropic = pytest.importorskip("anthropic")
    theirs = anthropic.transform_schema(Review)
    ours = body("anthropic/claude-sonnet-4-5")["output_config"]["format"]
    assert ours["type"] == "json_schema"
    same, other = inlined(ours["schema"], {}), inlined(theirs, theirs)
    # Their package takes the type from beside an enum.
    other["properties"]["label"].setdefault("type", "string")
    assert same == other


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-2.0-flash"])
def test_googles_package_takes_the_configuration(model):
    types = pytest.importorskip("google.genai.types")
    config = body(f"gemini/{model}")["generationConfig"]
    made = types.GenerationConfig.model_validate(config)
    assert made.response_mime_type == "application/json"


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-3-haiku-20240307-v1:0",
        "amazon.nova-lite-v1:0",
        "meta.llama3-1-8b-instruct-v1:0",
    ],
)
def test_amazon_describes_the_requests(model):
    pytest.importorskip("botocore")
    from botocore import loaders, validate
    from botocore import model as shapes

    service = shapes.ServiceModel(
        loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    )
    shape = service.operation_model("Converse").input_shape
    report = validate.ParamValidator().validate({"modelId": "m", **body(f"bedrock/{model}")}, shape)
    assert not report.has_errors(), report.generate_report()
