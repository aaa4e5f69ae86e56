"""An independent check: OpenAI's own package reads the same in the same bytes."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import pytest

openai = pytest.importorskip("openai")

from replay import USER, answered, body_of, completion_of, message_of, recorded, sse  # noqa: E402
from test_openai_responses import ANSWERS, events_of, streamed  # noqa: E402

from ritellm.calls.prepare import plan  # noqa: E402

# The package speaks through httpx until version 2 and through httpx2 from version 3 on.
httpx = pytest.importorskip("httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx")

CHAT = (
    "openai/text_basic.sse",
    "openai/refusal.sse",
    "openai/finish_length.sse",
    "openai/parallel_tools.sse",
    "openai/text_obfuscation_300tok.sse",
    "vllm/v0_24_text.sse",
)


def client(data: bytes) -> Any:
    """Return OpenAI's client, to which every answer is `data`."""

    def handle(request: Any) -> Any:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data)

    transport = httpx.MockTransport(handle)
    return openai.OpenAI(api_key="k", http_client=httpx.Client(transport=transport))


def calls_of(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (id, name, arguments) of a message's tool calls."""
    kinds = [(call, call.get("function") or call["custom"]) for call in message["tool_calls"]]
    return [(c["id"], f["name"], f.get("arguments") or f.get("input")) for c, f in kinds]


@pytest.mark.parametrize("name", CHAT)
def test_openais_client_reads_the_same_chat(name):
    data, _ = recorded(name)
    ours = completion_of(answered("openai_chat", data))
    text = {"content": "", "refusal": ""}
    calls: dict[int, list[str]] = {}
    theirs = client(data).chat.completions.create(model="m", messages=USER, stream=True)
    usage = reason = None
    for chunk in theirs:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for field in text:
                text[field] += getattr(choice.delta, field) or ""
            for call in choice.delta.tool_calls or ():
                whole = calls.setdefault(call.index, ["", "", ""])
                found = (call.id, call.function.name, call.function.arguments)
                calls[call.index] = [a + (b or "") for a, b in zip(whole, found, strict=True)]
    (choice,) = ours["choices"]
    message = choice["message"]
    assert {field: message.get(field) or "" for field in text} == text
    assert choice["finish_reason"] == reason
    assert calls_of({"tool_calls": [], **message}) == [tuple(calls[i]) for i in sorted(calls)]
    counted = usage.model_dump(exclude_unset=True)
    assert {key: ours["usage"][key] for key in counted} == counted


def test_openais_client_reads_the_same_recorded_response():
    data, _ = recorded("openai_responses/text_gpt55.sse")
    check_response(data, completion_of(answered("openai_responses", data)))


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"no usage"}))
def test_openais_client_reads_the_same_response(name):
    check_response(sse(*events_of(ANSWERS[name])), completion_of(streamed(ANSWERS[name])))


def check_response(data: bytes, ours: dict[str, Any]) -> None:
    """Compare with what OpenAI's client reads, piece by piece and in its final response."""
    events = list(client(data).responses.create(model="m", input="Hi", stream=True))
    final = events[-1].response
    message = {"content": None, "tool_calls": [], **ours["choices"][0]["message"]}
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert (message["content"] or "") == "".join(pieces) == final.output_text
    called = [item for item in final.output if "call_id" in type(item).model_fields]
    assert calls_of(message) == [
        (item.call_id, item.name, getattr(item, "arguments", None) or item.input) for item in called
    ]
    assert ours["usage"]["prompt_tokens"] == final.usage.input_tokens
    assert ours["usage"]["completion_tokens"] == final.usage.output_tokens
    reasoning = final.usage.output_tokens_details.reasoning_tokens
    assert ours["usage"]["completion_tokens_details"]["reasoning_tokens"] == reasoning
    assert (ours["id"], ours["model"]) == (final.id, final.model)


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"nothing"}))
def test_an_answer_that_goes_back_has_the_shape_openai_describes(name):
    pydantic = pytest.importorskip("pydantic")
    from openai.types.responses import ResponseInputItemParam

    message = json.loads(json.dumps(message_of(streamed(ANSWERS[name]))))
    adapter = pydantic.TypeAdapter(ResponseInputItemParam)
    for item in body_of("openai_responses", [*USER, message])["input"]:
        adapter.validate_python(item)


def test_a_pydantic_model_as_response_format_is_sent_as_openais_client_sends_it():
    pydantic = pytest.importorskip("pydantic")
    from openai.lib._parsing._completions import type_to_response_format_param

    class Unit(Enum):
        C = "c"
        F = "f"

    class Weather(pydantic.BaseModel):
        degrees: float
        unit: Unit = pydantic.Field(description="of the degrees")
        near: list[dict[str, int]]
        note: str | None = None

    Weather.model_rebuild(_types_namespace={"Unit": Unit})
    planned = plan("openai/m", USER, {"OPENAI_API_KEY": "k"}, response_format=Weather)
    assert planned.request.params["response_format"] == type_to_response_format_param(Weather)
