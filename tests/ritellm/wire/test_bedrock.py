"""Bedrock's Converse API, requests and responses, and its framing: Amazon's event stream."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay import (
    USER,
    answered,
    asked,
    body_of,
    by_the_byte,
    completion_of,
    exchange_with,
    message_of,
    recorded,
    whole,
)

from ritellm.errors import (
    APIResponseValidationError,
    BadRequestError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    StreamTruncatedError,
    Timeout,
    UnsupportedParamsError,
)
from ritellm.wire.framing.aws_eventstream import EventStream, parse_headers

WIRE = "bedrock"
KIND = "application/vnd.amazon.eventstream"

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
SPEC = {"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}


def text_header(name: str, value: str) -> bytes:
    encoded = value.encode()
    head = bytes([len(name)]) + name.encode() + b"\x07"
    return head + struct.pack(">H", len(encoded)) + encoded


def frame(payload: bytes, headers: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(kind: str, payload: Any, message_type: str = "event") -> bytes:
    headers = text_header(f":{message_type}-type", kind)
    headers += text_header(":content-type", "application/json")
    headers += text_header(":message-type", message_type)
    return frame(json.dumps(payload).encode(), headers)


def exception(kind: str, message: str = "boom") -> bytes:
    return event(kind, {"message": message}, "exception")


USAGE = {
    "inputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 130,
    "cacheReadInputTokens": 90,
    "cacheWriteInputTokens": 10,
}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Let me think", "signature": "c2ln"}}}
REDACTED = {"reasoningContent": {"redactedContent": "AAAA"}}
TEXT = {"text": "Sunny now"}
CALL = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Paris"}}}
NO_ARGUMENTS = {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}}
SEARCH = {
    "toolUse": {
        "toolUseId": "s1",
        "name": "nova_grounding",
        "input": {"q": "x"},
        "type": "server_tool_use",
    }
}
FOUND = {"toolResult": {"toolUseId": "s1", "type": "found", "content": [{"text": "it"}]}}
WEB = {"title": "A", "location": {"web": {"url": "https://a.example", "domain": "a"}}}
PAGE = {"title": "P", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}
CITED = {"citationsContent": {"content": [TEXT], "citations": [WEB, PAGE]}}
PICTURE = {"image": {"format": "png", "source": {"bytes": b64encode(b"picture").decode()}}}


def answer(*content: dict[str, Any], stop: str = "end_turn", **fields: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop,
        "usage": USAGE,
        "metrics": {"latencyMs": 551},
        **fields,
    }


def pieces(text: str) -> list[str]:
    return [text[i : i + 5] for i in range(0, len(text), 5)]


def block_events(block: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the events between which a block streams; text comes without a start."""
    if "text" in block:
        return [("contentBlockDelta", {"delta": {"text": p}}) for p in pieces(block["text"])]
    if "reasoningContent" in block:
        thought = block["reasoningContent"]
        plain = thought.get("reasoningText")
        parts = [{"text": p} for p in pieces(plain["text"])] if plain else [thought]
        if plain and "signature" in plain:
            parts.append({"signature": plain["signature"]})
        return [("contentBlockDelta", {"delta": {"reasoningContent": part}}) for part in parts]
    if "citationsContent" in block:
        cited = block["citationsContent"]
        deltas = [d for part in cited["content"] for _, d in block_events(part)]
        deltas += [{"delta": {"citation": c}} for c in cited["citations"]]
        return [("contentBlockDelta", delta) for delta in deltas]
    if "toolUse" in block:
        call = dict(block["toolUse"])
        given = json.dumps(call.pop("input"), separators=(",", ":"))
        parts = pieces(given) if given != "{}" else []
        start = [("contentBlockStart", {"start": {"toolUse": call}})]
        return start + [("contentBlockDelta", {"delta": {"toolUse": {"input": p}}}) for p in parts]
    if "toolResult" in block:
        result = dict(block["toolResult"])
        content = result.pop("content")
        start = ("contentBlockStart", {"start": {"toolResult": result}})
        return [start, ("contentBlockDelta", {"delta": {"toolResult": content}})]
    image = block["image"]
    start = ("contentBlockStart", {"start": {"image": {"format": image["format"]}}})
    halves = [b64encode(b"pict").decode(), b64encode(b"ure").decode()]
    parts = [{"image": {"source": {"bytes": half}}} for half in halves]
    return [start, *(("contentBlockDelta", {"delta": part}) for part in parts)]


def frames_of(final: dict[str, Any]) -> list[bytes]:
    """Return the frames that stream `final`."""
    message = final["output"]["message"]
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": message["role"]})]
    for index, block in enumerate(message["content"]):
        place = {"contentBlockIndex": index, "p": "abcdef"}
        events += [(kind, {**payload, **place}) for kind, payload in block_events(block)]
        events.append(("contentBlockStop", place))
    stop = {"stopReason": final["stopReason"]}
    if "additionalModelResponseFields" in final:
        stop["additionalModelResponseFields"] = final["additionalModelResponseFields"]
    events.append(("messageStop", stop))
    told = ("usage", "metrics", "trace", "serviceTier")
    events.append(("metadata", {k: final[k] for k in told if k in final}))
    return [event(kind, payload) for kind, payload in events]


def streamed(final: dict[str, Any]):
    return answered(WIRE, b"".join(frames_of(final)), KIND)


ANSWERS = {
    "text": answer(TEXT),
    "two texts": answer(TEXT, {"text": " and later"}),
    "thinking": answer(THOUGHT, REDACTED, TEXT),
    "calls": answer(THOUGHT, TEXT, CALL, NO_ARGUMENTS, stop="tool_use"),
    "thinking between calls": answer(THOUGHT, CALL, THOUGHT, NO_ARGUMENTS, stop="tool_use"),
    "a search at Amazon's": answer(SEARCH, FOUND, TEXT),
    "citations": answer(CITED),
    "image": answer(TEXT, PICTURE),
    "a question without words": answer({"toolUse": {**SEARCH["toolUse"], "input": {}}}, TEXT),
    "no usage": {**answer(TEXT), "usage": None},
    "no cache": answer(TEXT, usage={"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}),
    "all the rest": answer(
        TEXT,
        trace={"guardrail": {"actionReason": "x"}},
        serviceTier={"type": "flex"},
        additionalModelResponseFields={"stop_sequence": None},
    ),
    "nothing": answer(),
}


# What is asked


@pytest.mark.parametrize(
    ("messages", "system", "turns"),
    [
        (USER, None, [{"role": "user", "content": [{"text": "Hi"}]}]),
        (
            [{"role": "system", "content": "Be brief"}, *USER,
             {"role": "developer", "content": "Be kind"}],
            [{"text": "Be brief"}, {"text": "Be kind"}],
            [{"role": "user", "content": [{"text": "Hi"}]}],
        ),
        (
            [{"role": "user", "content": [
                {"type": "text", "text": "What?"},
                {"type": "text", "text": " "},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA=="}},
                {"type": "image_url", "image_url": "s3://bucket/a.jpg"},
                {"type": "file", "file": {"filename": "Q3 report.v2.pdf",
                                          "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,AA=="}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"video": {"format": "mp4", "source": {"bytes": "AA=="}}}]}],
            None,
            [{"role": "user", "content": [
                {"text": "What?"},
                {"image": {"format": "jpeg", "source": {"bytes": "AA=="}}},
                {"image": {"format": "jpeg",
                           "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
                {"document": {"format": "pdf", "name": "Q3 report-v2",
                              "source": {"bytes": "AA=="}}},
                {"document": {"format": "txt", "name": "document", "source": {"bytes": "AA=="}}},
                {"audio": {"format": "wav", "source": {"bytes": "AA=="}}},
                {"video": {"format": "mp4", "source": {"bytes": "AA=="}}}]}],
        ),
        (
            [*USER,
             {"role": "assistant", "content": "", "tool_calls": [
                 {"id": "call|1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                 {"id": "c2", "type": "function", "function": {"name": "now"}}]},
             {"role": "tool", "tool_call_id": "call|1", "content": "20"},
             {"role": "tool", "tool_call_id": "c2", "content": [
                 {"type": "text", "text": "no"}], "is_error": True},
             {"role": "user", "content": "And?"}],
            None,
            [{"role": "user", "content": [{"text": "Hi"}]},
             {"role": "assistant", "content": [
                 {"toolUse": {"toolUseId": "call_1", "name": "weather",
                              "input": {"city": "Paris"}}},
                 {"toolUse": {"toolUseId": "c2", "name": "now", "input": {}}}]},
             {"role": "user", "content": [
                 {"toolResult": {"toolUseId": "call_1", "content": [{"text": "20"}]}},
                 {"toolResult": {"toolUseId": "c2", "content": [{"text": "no"}],
                                 "status": "error"}},
                 {"text": "And?"}]}],
        ),
        (
            [{"role": "system", "content": [{"type": "text", "text": "Long"},
                                            {"cachePoint": {"type": "default"}}]},
             {"role": "user", "content": [
                 {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral",
                                                                 "ttl": "1h"}}]},
             {"role": "assistant", "content": None, "refusal": "No",
              "cache_control": {"type": "ephemeral"}}],
            [{"text": "Long"}, {"cachePoint": {"type": "default"}}],
            [{"role": "user", "content": [
                {"text": "Hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]},
             {"role": "assistant", "content": [
                 {"text": "No"}, {"cachePoint": {"type": "default"}}]}],
        ),
        (
            [*USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}],
                     "reasoning_content": "Hm", "thinking_blocks": [
                         {"type": "thinking", "thinking": "Hm"},
                         {"type": "thinking", "thinking": "Hm", "signature": "s"},
                         {"type": "redacted_thinking", "data": "AAAA"}]}],
            None,
            [{"role": "user", "content": [{"text": "Hi"}]},
             {"role": "assistant", "content": [
                 {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
                 {"reasoningContent": {"redactedContent": "AAAA"}},
                 {"text": "No"}]}],
        ),
    ],
)  # fmt: skip
def test_messages_become_turns(messages, system, turns):
    expected = {"messages": turns, **({"system": system} if system else {})}
    body = body_of(WIRE, messages)
    body.pop("toolConfig", None)  # the tools of the calls: see test_what_is_sent
    assert body == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_tokens": 5, "temperature": 0, "top_p": 0.5, "stop": "END"},
         {"inferenceConfig": {"maxTokens": 5, "temperature": 0, "topP": 0.5,
                              "stopSequences": ["END"]}}),
        ({"top_k": 4}, {"additionalModelRequestFields": {"top_k": 4}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}},
         {"additionalModelRequestFields": {
             "thinking": {"type": "enabled", "budget_tokens": 1024}}}),
        ({"reasoning_effort": "high"}, {"outputConfig": {"effort": "high"}}),
        ({"reasoning_effort": "minimal"}, {"outputConfig": {"effort": "low"}}),
        ({"reasoning_effort": "none"}, {}),
        ({"metadata": {"team": "a"}, "service_tier": "flex"},
         {"requestMetadata": {"team": "a"}, "serviceTier": {"type": "flex"}}),
        ({"service_tier": "auto", "stream_options": {"include_usage": True}, "n": 1}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "w", "description": "d", "schema": SCHEMA, "strict": True}}},
         {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
             "schema": json.dumps(SCHEMA, separators=(",", ":")), "name": "w",
             "description": "d"}}}}}),
        ({"tools": [TOOL]}, {"toolConfig": {"tools": [SPEC]}}),
        ({"tools": [{"type": "function", "function": {"name": "now", "strict": True},
                     "cache_control": {"type": "ephemeral"}},
                    {"systemTool": {"name": "nova_grounding"}}]},
         {"toolConfig": {"tools": [
             {"toolSpec": {"name": "now", "strict": True,
                           "inputSchema": {"json": {"type": "object", "properties": {}}}}},
             {"cachePoint": {"type": "default"}},
             {"systemTool": {"name": "nova_grounding"}}]}}),
        ({"tools": [TOOL], "tool_choice": "auto"},
         {"toolConfig": {"tools": [SPEC], "toolChoice": {"auto": {}}}}),
        ({"tools": [TOOL], "tool_choice": "required"},
         {"toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}}),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
         {"toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "weather"}}}}),
        ({"tools": [TOOL], "tool_choice": {"any": {}}},
         {"toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
    ],
)  # fmt: skip
def test_parameters_become_fields(params, expected):
    plain = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert body_of(WIRE, **params) == {**plain, **expected}


@pytest.mark.parametrize(
    ("model", "effort", "fields", "converse"),
    [
        ("us.anthropic.claude-opus-4-6-v1", "high",
         {"thinking": {"type": "adaptive", "display": "summarized"}}, "high"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "low",
         {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None),
        ("anthropic.claude-sonnet-4-6", "none", {"thinking": {"type": "disabled"}}, None),
        ("us.amazon.nova-2-lite-v1:0", "medium",
         {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, None),
        ("us.amazon.nova-2-lite-v1:0", "none", {"reasoningConfig": {"type": "disabled"}}, None),
        ("openai.gpt-oss-120b-1:0", "high", {"reasoning_effort": "high"}, None),
        ("qwen.qwen3-32b-v1:0", "high", None, "high"),
    ],
)  # fmt: skip
def test_each_model_family_has_its_own_field_for_the_effort(model, effort, fields, converse):
    body = asked(WIRE, model=model, params={"reasoning_effort": effort})[1]
    assert body.get("additionalModelRequestFields") == fields
    assert body.get("outputConfig", {}).get("effort") == converse


def test_the_callers_own_thinking_overrides_the_effort():
    thinking = {"type": "enabled", "budget_tokens": 5000}
    params = {"reasoning_effort": "low", "thinking": thinking}
    body = asked(WIRE, model="anthropic.claude-sonnet-4-5", params=params)[1]
    assert body["additionalModelRequestFields"] == {"thinking": thinking}


def test_nova_has_its_own_field_for_top_k():
    body = asked(WIRE, model="us.amazon.nova-pro-v1:0", params={"top_k": 4})[1]
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 4}}


@pytest.mark.parametrize(
    ("model", "stream", "url"),
    [
        ("amazon.nova-micro-v1:0", True,
         "https://b.amazonaws.com/model/amazon.nova-micro-v1%3A0/converse-stream"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.x", False,
         "https://b.amazonaws.com/model/"
         "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse"),
    ],
)  # fmt: skip
def test_the_model_is_one_segment_of_the_address(model, stream, url):
    sent, body = asked(
        WIRE,
        base_url="https://b.amazonaws.com/",
        model=model,
        stream=stream,
        extra_body={"guardrailConfig": {"guardrailIdentifier": "g"}},
    )
    assert (sent.method, sent.url) == ("POST", url)
    assert dict(sent.headers) == {
        "content-type": "application/json",
        "accept": KIND if stream else "application/json",
        "authorization": "Bearer k",
    }
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert asked(WIRE, base_url=url)[0].url == url


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2},
        {"seed": 1},
        {"logprobs": True},
        {"parallel_tool_calls": False},
        {"response_format": {"type": "json_object"}},
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}},
    ],
)
def test_what_converse_lacks_is_refused_before_sending_or_dropped_on_demand(params):
    with pytest.raises(UnsupportedParamsError):
        asked(WIRE, params=params)
    body = asked(WIRE, params=params, drop_params=True)[1]
    assert body.keys() <= {"messages", "toolConfig"}


def test_an_empty_turn_is_left_out():
    turns = [*USER, {"role": "assistant", "content": " "}, *USER]
    (turn,) = body_of(WIRE, turns)["messages"]
    assert turn["content"] == [{"text": "Hi"}, {"text": "Hi"}]


def test_tools_that_have_been_called_cannot_be_forbidden():
    turns = [*USER, {"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "20"}]  # fmt: skip
    with pytest.raises(UnsupportedParamsError, match="none"):
        body_of(WIRE, turns, tools=[TOOL], tool_choice="none")


@pytest.mark.parametrize(
    ("messages", "params"),
    [
        ([{"role": "function", "name": "f", "content": "x"}], {}),
        ([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}], {}),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}], {}),
        ([{"role": "user", "content": [{"type": "new"}]}], {}),
        ([{"role": "tool", "content": "x"}], {}),
        ([{"role": "assistant", "tool_calls": [{"id": "c", "custom": {"name": "x"}}]}], {}),
        (USER, {"tools": [{"type": "web_search"}]}),
    ],
)  # fmt: skip
def test_an_unsupported_request_is_an_error_before_sending(messages, params):
    with pytest.raises(InvalidRequestError):
        body_of(WIRE, messages, **params)


# What comes back


@pytest.mark.parametrize("cut", [lambda data: [data], by_the_byte])
def test_a_recorded_stream_is_decoded(cut):
    data, expected = recorded("bedrock/nova_text.bin")
    completion = completion_of(answered(WIRE, cut(data), KIND))
    (choice,) = completion["choices"]
    assert choice["message"] == {"role": "assistant", "content": expected["choices"][0]["text"]}
    assert choice["finish_reason"] == "stop"
    usage = completion["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert usage[name] == expected["usage"][name]
    assert usage["serverToolUsage"] == {}
    assert "latencyMs" in completion["metrics"]


def test_a_recorded_stream_cut_off_before_its_end_is_an_error():
    data, _ = recorded("bedrock/nova_text.bin")
    frames = []
    rest = data
    while rest:
        (length,) = struct.unpack_from(">I", rest)
        frames.append(rest[:length])
        rest = rest[length:]
    for count in range(len(frames) - 1):
        for half in (b"", frames[count][:20]):
            exchange = answered(WIRE, b"".join(frames[:count]) + half, KIND)
            assert isinstance(exchange.error, StreamTruncatedError)
    # Whole from messageStop on; what it cost is then unknown, and said to be.
    completion = completion_of(answered(WIRE, b"".join(frames[:-1]), KIND))
    assert completion["usage"] is None


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_cut_off_before_its_end_is_an_error(name):
    frames = frames_of(ANSWERS[name])
    for count in range(len(frames) - 1):
        exchange = answered(WIRE, b"".join(frames[:count]), KIND)
        assert isinstance(exchange.error, StreamTruncatedError)


def test_a_stream_is_done_only_after_its_usage():
    *frames, metadata = frames_of(ANSWERS["text"])
    exchange = exchange_with(WIRE)
    exchange.receive_response(200, {"content-type": KIND})
    exchange.receive_data(b"".join(frames))
    assert exchange.complete
    assert not exchange.done
    exchange.receive_data(metadata)
    assert exchange.done


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_completion_equals_the_unstreamed_one(name):
    assert completion_of(streamed(ANSWERS[name])) == completion_of(whole(WIRE, ANSWERS[name]))


def test_everything_has_its_place_in_the_completion():
    completion = completion_of(streamed(ANSWERS["calls"]))
    (choice,) = completion["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Sunny now",
        "reasoning_content": "Let me think",
        "thinking_blocks": [{"type": "thinking", "thinking": "Let me think", "signature": "c2ln"}],
        "tool_calls": [
            {
                "id": "t1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
            },
            {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert completion["usage"] == {
        "prompt_tokens": 110,
        "completion_tokens": 20,
        "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 90, "cache_creation_tokens": 10},
        "cacheReadInputTokens": 90,
        "cacheWriteInputTokens": 10,
    }
    assert completion["metrics"] == {"latencyMs": 551}


def test_citations_images_and_the_guardrails_report_are_not_lost():
    assert message_of(streamed(ANSWERS["citations"]))["annotations"] == [
        {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}},
        {"type": "citation", **PAGE},
    ]
    url = "data:image/png;base64," + b64encode(b"picture").decode()
    images = message_of(streamed(ANSWERS["image"]))["images"]
    assert images == [{"type": "image_url", "image_url": {"url": url}}]
    completion = completion_of(streamed(ANSWERS["all the rest"]))
    assert completion["trace"] == {"guardrail": {"actionReason": "x"}}
    assert completion["service_tier"] == "flex"


def test_unknown_fields_and_events_are_kept_without_an_error():
    frames = frames_of(ANSWERS["text"])
    frames[3:3] = [
        event("somethingNew", {}),
        event("contentBlockStart", {"contentBlockIndex": 7, "start": {}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": ""}}),
        event("contentBlockDelta", {"contentBlockIndex": 8, "delta": {"smell": {"of": "rain"}}}),
        event("contentBlockDelta", {"contentBlockIndex": 8, "delta": {"smell": {"how": "strong"}}}),
    ]
    message = message_of(answered(WIRE, b"".join(frames), KIND))
    assert message["content"] == "Sunny now"
    blocks = message["provider_specific_fields"]["bedrock_blocks"]
    assert blocks[1] == {"smell": {"of": "rain", "how": "strong"}}


def test_a_truncated_tool_input_of_amazons_stays_text():
    frames = frames_of(answer(SEARCH, TEXT, stop="max_tokens"))
    del frames[3]  # a piece of the question
    blocks = message_of(answered(WIRE, b"".join(frames), KIND))["provider_specific_fields"]
    assert isinstance(blocks["bedrock_blocks"][0]["toolUse"]["input"], str)


def test_a_tool_that_amazon_runs_is_not_a_call_for_the_caller():
    message = message_of(streamed(ANSWERS["a search at Amazon's"]))
    assert "tool_calls" not in message
    assert message["provider_specific_fields"]["bedrock_blocks"][:2] == [SEARCH, FOUND]


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("tired", "tired"),
    ],
)
def test_stop_reasons_are_openais_or_their_own_but_never_a_false_stop(reason, finish_reason):
    final = answer(TEXT, stop=reason)
    for exchange in (streamed(final), whole(WIRE, final)):
        assert completion_of(exchange)["choices"][0]["finish_reason"] == finish_reason


# The way back


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"citations", "nothing", "all the rest"}))
@pytest.mark.parametrize("decode", [streamed, lambda final: whole(WIRE, final)])
def test_a_completion_is_sent_back_unchanged(name, decode):
    message = json.loads(json.dumps(message_of(decode(ANSWERS[name]))))
    turn = body_of(WIRE, [*USER, message])["messages"][1]
    assert turn == ANSWERS[name]["output"]["message"]


# Errors


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_an_error_that_has_its_usage(reason):
    final = answer(TEXT, stop=reason)
    exchange = streamed(final)
    assert type(exchange.error) is InternalServerError
    assert (exchange.error.code, exchange.error.retryable) == (reason, True)
    exchange.attach_partial()
    assert exchange.error.partial["choices"][0]["message"]["content"] == "Sunny now"
    assert exchange.error.partial["usage"]["total_tokens"] == 130
    assert type(whole(WIRE, final).error) is InternalServerError
    without_usage = b"".join(frames_of(final)[:-1])
    assert isinstance(answered(WIRE, without_usage, KIND).error, StreamTruncatedError)


@pytest.mark.parametrize(
    ("kind", "error", "status", "retryable"),
    [
        ("throttlingException", RateLimitError, 429, True),
        ("validationException", BadRequestError, 400, False),
        ("modelStreamErrorException", InternalServerError, 424, True),
        ("serviceUnavailableException", ServiceUnavailableError, 503, True),
        ("internalServerException", InternalServerError, 500, True),
        ("modelTimeoutException", Timeout, 408, True),
        ("ThrottlingException", RateLimitError, 429, True),
        ("accessDeniedException", PermissionDeniedError, 403, False),
        ("somethingNewException", InternalServerError, 500, True),
    ],
)
def test_an_exception_inside_the_stream_has_its_class(kind, error, status, retryable):
    data = b"".join(frames_of(ANSWERS["text"])[:2]) + exception(kind)
    exchange = answered(WIRE, data, KIND)
    assert type(exchange.error) is error
    assert exchange.error.status_code == status
    assert exchange.error.retryable is retryable
    assert (exchange.error.code, exchange.error.message) == (kind, f"{kind}: boom")
    exchange.attach_partial()
    assert exchange.error.partial["choices"][0]["message"]["content"] == "Sunny"


def test_an_error_frame_is_classified_by_its_headers():
    headers = text_header(":message-type", "error")
    headers += text_header(":error-code", "InternalFailure") + text_header(":error-message", "oops")
    exchange = answered(WIRE, frame(b"", headers), KIND)
    assert exchange.error.message == "InternalFailure: oops"


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "ValidationException", BadRequestError),
        (403, "AccessDeniedException", PermissionDeniedError),
        (404, "ResourceNotFoundException", NotFoundError),
        (408, "ModelTimeoutException", Timeout),
        (424, "ModelErrorException", InternalServerError),
        (429, "ThrottlingException", RateLimitError),
        (429, "ModelNotReadyException", RateLimitError),
        (500, "InternalServerException", InternalServerError),
        (503, "ServiceUnavailableException", ServiceUnavailableError),
    ],
)
def test_an_error_status_has_its_class(status, kind, error):
    body = b'{"message":"boom"}'
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/"}
    exchange = answered(WIRE, body, "application/json", status, headers)
    assert type(exchange.error) is error
    assert (exchange.error.code, exchange.error.message) == (kind, "boom")
    typed = json.dumps({"__type": f"com.amazon#{kind}", "Message": "boom"}).encode()
    assert answered(WIRE, typed, "application/json", status).error.code == kind


def test_an_error_body_that_is_not_json_is_quoted():
    exchange = answered(WIRE, b"<html>oh", "text/html", 503)
    assert exchange.error.message == "HTTP 503: <html>oh"


@pytest.mark.parametrize("body", [[], {}, {"output": {}}])
def test_a_body_without_a_completion_is_an_error(body):
    assert isinstance(whole(WIRE, body).error, APIResponseValidationError)


# The framing


def cut_up(data: bytes, cuts: list[int]) -> list[tuple[str, bytes]]:
    framing = EventStream()
    bounds = [0, *sorted(cuts), len(data)]
    events = []
    for start, end in pairwise(bounds):
        events += framing.feed(data[start:end])
    return [*events, *framing.eof()]


@given(st.data())
def test_events_do_not_depend_on_where_the_bytes_are_cut(data):
    payloads = data.draw(st.lists(st.binary(max_size=30), max_size=5))
    kinds = [f"kind{n}" for n in range(len(payloads))]
    headers = [text_header(":event-type", k) + text_header(":message-type", "event") for k in kinds]
    body = b"".join(map(frame, payloads, headers))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert cut_up(body, cuts) == list(zip(kinds, payloads, strict=True))


@given(st.data())
def test_a_flipped_bit_is_an_error_and_never_other_text(data):
    frames = frames_of(ANSWERS["calls"])
    body = bytearray(b"".join(frames))
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=4))
    bounds = [0, *sorted(cuts), len(body)]
    exchange = answered(WIRE, [bytes(body[s:e]) for s, e in pairwise(bounds)], KIND)
    assert isinstance(exchange.error, APIResponseValidationError)
    before = sum(1 for n in range(len(frames)) if len(b"".join(frames[: n + 1])) * 8 <= bit)
    intact = answered(WIRE, b"".join(frames[:before]), KIND)
    assert exchange.completion() == intact.completion()


def test_after_a_damaged_frame_every_call_raises():
    good, bad = frames_of(ANSWERS["text"])[:2]
    bad = bad[:-1] + bytes([bad[-1] ^ 1])
    framing = EventStream()
    assert len(framing.feed(good + bad)) == 1
    for _ in range(2):
        with pytest.raises(APIResponseValidationError, match="checksum"):
            framing.feed(good)
    with pytest.raises(APIResponseValidationError):
        framing.eof()


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (20, 8), (2**31, 0)])
def test_a_frame_of_impossible_length_is_an_error(total, headers):
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(APIResponseValidationError, match="a frame of"):
        EventStream().feed(prelude + struct.pack(">I", zlib.crc32(prelude)))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"\x00", True),
        (b"\x01", False),
        (b"\x02\xff", -1),
        (b"\x03\x01\x00", 256),
        (b"\x04\x00\x00\x00\x05", 5),
        (b"\x05" + b"\xff" * 8, -1),
        (b"\x06\x00\x02ab", b"ab"),
        (b"\x07\x00\x02ab", "ab"),
        (b"\x08" + (1234).to_bytes(8, "big"), 1234),
        (b"\x09" + bytes(range(16)), UUID(bytes=bytes(range(16)))),
    ],
)
def test_all_types_of_header_are_read(raw, value):
    headers = b"\x01x" + raw + text_header("after", "it")
    assert parse_headers(headers) == {"x": value, "after": "it"}
    for size in range(1, len(headers)):
        if size != 2 + len(raw):
            with pytest.raises(APIResponseValidationError):
                parse_headers(headers[:size])


def test_an_unknown_type_of_header_is_an_error():
    with pytest.raises(APIResponseValidationError, match="type 10"):
        parse_headers(b"\x01x\x0a")
