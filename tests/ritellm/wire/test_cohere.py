"""Cohere's v2 chat: requests and responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from replay import (
    USER,
    answered,
    asked,
    body_of,
    by_the_byte,
    completion_of,
    message_of,
    recorded,
    sse,
    sse_cuts,
    whole,
)

from ritellm.errors import (
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    StreamTruncatedError,
    Timeout,
    UnprocessableEntityError,
    UnsupportedParamsError,
)

WIRE = "cohere"

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
CALL = {
    "id": "weather_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
}
CITATIONS = [
    {
        "start": 0,
        "end": 5,
        "text": "Sunny",
        "type": "TEXT_CONTENT",
        "sources": [
            {
                "type": "document",
                "id": "d1",
                "document": {"id": "d1", "title": "Sky", "url": "https://a.example"},
            },
            {"type": "tool", "id": "t1", "tool_output": {"c": "20"}},
        ],
    },
    {"start": 1, "end": 2, "text": "x", "type": "PLAN", "sources": []},
]
USAGE = {
    "billed_units": {"input_tokens": 12, "output_tokens": 5},
    "tokens": {"input_tokens": 507.0, "output_tokens": 9},
    "cached_tokens": 144,
}
LOGPROBS = [
    {"text": "Sunny", "token_ids": [1], "logprobs": [-0.25]},
    {"text": " now", "token_ids": [2, 3], "logprobs": [-0.25, -0.5]},
]


def answer(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", **message}
    return {"id": "a1", "finish_reason": "COMPLETE", "message": message, "usage": USAGE, **fields}


def pieces(text: str) -> list[str]:
    return [text[i : i + 5] for i in range(0, len(text), 5)]


def events_of(final: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events that stream `final`."""
    message, logprobs = final["message"], list(final.get("logprobs") or ())
    opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    events = [("message-start", {"id": final["id"]}, opening)]
    events += [
        ("tool-plan-delta", {}, {"tool_plan": p}) for p in pieces(message.get("tool_plan", ""))
    ]
    for index, part in enumerate(message.get("content") or ()):
        kind, place = part["type"], {"index": index}
        events.append(("content-start", place, {"content": {"type": kind, kind: ""}}))
        for piece in pieces(part[kind]):
            with_logprobs = {"logprobs": logprobs.pop(0)} if logprobs and kind == "text" else {}
            place_and_all = {**place, **with_logprobs}
            events.append(("content-delta", place_and_all, {"content": {kind: piece}}))
        events.append(("content-end", place, {}))
    for index, citation in enumerate(message.get("citations") or ()):
        events.append(("citation-start", {"index": index}, {"citations": citation}))
        events.append(("citation-end", {"index": index}, {}))
    for index, call in enumerate(message.get("tool_calls") or ()):
        place, function = {"index": index}, call["function"]
        head = {**call, "function": {**function, "arguments": ""}}
        events.append(("tool-call-start", place, {"tool_calls": head}))
        for piece in pieces(function["arguments"]):
            fragment = {"function": {"arguments": piece}}
            events.append(("tool-call-delta", place, {"tool_calls": fragment}))
        events.append(("tool-call-end", place, {}))
    payloads = [
        {"type": kind, **place, **({"delta": {"message": added}} if added else {})}
        for kind, place, added in events
    ]
    end = {k: final[k] for k in ("finish_reason", "usage", "error") if k in final}
    return [*payloads, {"type": "message-end", "delta": end}]


def streamed(final: dict[str, Any]):
    return answered(WIRE, sse(*events_of(final), done=True))


TEXT = [{"type": "text", "text": "Sunny now"}]
ANSWERS = {
    "text": answer({"content": TEXT}),
    "logprobs": answer({"content": TEXT}, logprobs=LOGPROBS),
    "thinking": answer({"content": [{"type": "thinking", "thinking": "Let me think"}, *TEXT]}),
    "plan and calls": answer(
        {"tool_plan": "I will ask.", "tool_calls": [CALL, {**CALL, "id": "weather_2"}]},
        finish_reason="TOOL_CALL",
    ),
    "citations": answer({"content": TEXT, "citations": CITATIONS}),
    "no usage": {k: v for k, v in answer({"content": TEXT}).items() if k != "usage"},
    "nothing": answer({}),
}


# What is asked


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [{"role": "developer", "content": "Be brief"}, *USER],
            [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}],
        ),
        (
            [{"role": "user", "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}],
            [{"role": "user", "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}],
        ),
        (
            [*USER,
             {"role": "assistant", "content": None, "tool_calls": [
                 CALL, {"id": "n", "type": "function", "function": {"name": "now"}}]},
             {"role": "tool", "tool_call_id": "weather_1", "name": "weather", "content": "20"},
             {"role": "tool", "tool_call_id": "n", "content": [
                 {"type": "document", "document": {"id": "d", "data": {"a": 1}}}]}],
            [{"role": "user", "content": "Hi"},
             {"role": "assistant", "tool_calls": [
                 CALL, {"id": "n", "type": "function",
                        "function": {"name": "now", "arguments": "{}"}}]},
             {"role": "tool", "tool_call_id": "weather_1", "content": "20"},
             {"role": "tool", "tool_call_id": "n", "content": [
                 {"type": "document", "document": {"id": "d", "data": {"a": 1}}}]}],
        ),
    ],
)  # fmt: skip
def test_messages_become_coheres(messages, expected):
    assert body_of(WIRE, messages) == {"model": "m", "stream": True, "messages": expected}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_completion_tokens": 5, "temperature": 0, "top_p": 0.5, "top_k": 3, "seed": 1},
         {"max_tokens": 5, "temperature": 0, "p": 0.5, "k": 3, "seed": 1}),
        ({"presence_penalty": 0.5, "frequency_penalty": 0.25, "logprobs": True},
         {"presence_penalty": 0.5, "frequency_penalty": 0.25, "logprobs": True}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["A", "B"]}, {"stop_sequences": ["A", "B"]}),
        ({"tools": [TOOL], "tool_choice": "required"},
         {"tools": [TOOL], "tool_choice": "REQUIRED"}),
        ({"tools": [TOOL], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": "NONE"}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL]}),
        ({"tools": [{"type": "function", "function": {
            "name": "now", "description": "d", "strict": True}}]},
         {"tools": [{"type": "function", "function": {
             "name": "now", "description": "d",
             "parameters": {"type": "object", "properties": {}}}}], "strict_tools": True}),
        ({"response_format": {"type": "json_object"}},
         {"response_format": {"type": "json_object"}}),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "w", "schema": SCHEMA}}},
         {"response_format": {"type": "json_object", "json_schema": SCHEMA}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}},
         {"thinking": {"type": "enabled", "token_budget": 9}}),
        ({"stream_options": {"include_usage": True}, "n": 1}, {}),
    ],
)  # fmt: skip
def test_parameters_become_fields(params, expected):
    plain = {"model": "m", "stream": True, "messages": USER}
    assert body_of(WIRE, **params) == {**plain, **expected}


@pytest.mark.parametrize(
    "base_url",
    ["https://api.cohere.com", "https://api.cohere.com/v2/", "https://api.cohere.com/v2/chat"],
)
def test_the_request_goes_to_v2_chat_with_the_key_as_bearer(base_url):
    sent, body = asked(
        WIRE,
        base_url=base_url,
        extra_body={"documents": ["a"], "citation_options": {"mode": "FAST"}},
        extra_headers={"X-Client-Name": "me"},
    )
    assert (sent.method, sent.url) == ("POST", "https://api.cohere.com/v2/chat")
    assert dict(sent.headers) == {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "authorization": "Bearer k",
        "x-client-name": "me",
    }
    assert (body["documents"], body["citation_options"]) == (["a"], {"mode": "FAST"})


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2},
        {"top_logprobs": 2},
        {"logit_bias": {"1": 1}},
        {"parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
    ],
)
def test_what_cohere_lacks_is_refused_before_sending_or_dropped_on_demand(params):
    with pytest.raises(UnsupportedParamsError):
        asked(WIRE, params=params)
    body = asked(WIRE, params=params, drop_params=True)[1]
    assert not body.keys() & (params.keys() - {"tools"})


@pytest.mark.parametrize(
    ("messages", "params"),
    [
        ([{"role": "function", "name": "f", "content": "x"}], {}),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], {}),
        ([{"role": "system", "content": [{"type": "image_url", "image_url": {}}]}], {}),
        ([{"role": "assistant", "tool_calls": [{"id": "c", "custom": {"name": "x"}}]}], {}),
        (USER, {"tools": [{"type": "web_search"}]}),
        (USER, {"tool_choice": "sometimes"}),
    ],
)
def test_an_unsupported_request_is_an_error_before_sending(messages, params):
    with pytest.raises(InvalidRequestError):
        body_of(WIRE, messages, **params)


# What comes back


@pytest.mark.parametrize("cut", [lambda data: [data], by_the_byte])
def test_a_recorded_stream_is_decoded(cut):
    data, expected = recorded("cohere/v2_parallel_tools.sse")
    completion = completion_of(answered(WIRE, cut(data)))
    (choice,), (wanted,) = completion["choices"], expected["choices"]
    assert choice["message"]["tool_plan"] == wanted["tool_plan"]
    assert [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in choice["message"]["tool_calls"]
    ] == [(call["id"], call["name"], call["arguments"]) for call in wanted["tool_calls"]]
    assert choice["finish_reason"] == "tool_calls"
    assert completion["id"] == expected["top"]["id"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert completion["usage"][name] == expected["usage"][name]
    assert completion["usage"]["billed_units"] == expected["usage_raw"]["billed_units"]


def test_a_recorded_stream_cut_off_before_its_end_is_an_error():
    data, _ = recorded("cohere/v2_parallel_tools.sse")
    *cuts, without_done, full = sse_cuts(data)
    for part in cuts:
        assert isinstance(answered(WIRE, part).error, StreamTruncatedError)
    assert answered(WIRE, without_done).error is None
    assert answered(WIRE, full).error is None


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_cut_off_before_its_end_is_an_error(name):
    *cuts, _ = sse_cuts(sse(*events_of(ANSWERS[name])))
    for cut in cuts:
        assert isinstance(answered(WIRE, cut).error, StreamTruncatedError)
        with_done = answered(WIRE, cut + b"data: [DONE]\n\n")
        assert isinstance(with_done.error, StreamTruncatedError)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_completion_equals_the_unstreamed_one(name):
    assert completion_of(streamed(ANSWERS[name])) == completion_of(whole(WIRE, ANSWERS[name]))


def test_everything_has_its_place_in_the_completion():
    message = message_of(streamed(ANSWERS["thinking"]))
    assert message == {
        "role": "assistant",
        "reasoning_content": "Let me think",
        "content": "Sunny now",
    }
    completion = completion_of(streamed(ANSWERS["logprobs"]))
    content = completion["choices"][0]["logprobs"]["content"]
    assert [(c["token"], c["logprob"]) for c in content] == [("Sunny", -0.25), (" now", -0.75)]
    assert completion["usage"] == {
        "prompt_tokens": 507,
        "completion_tokens": 9,
        "total_tokens": 516,
        "prompt_tokens_details": {"cached_tokens": 144},
        "billed_units": {"input_tokens": 12, "output_tokens": 5},
    }


def test_billed_units_are_not_reported_as_usage():
    final = answer({"content": TEXT}, usage={"billed_units": {"input_tokens": 12}})
    usage = completion_of(streamed(final))["usage"]
    assert usage["prompt_tokens"] is None
    assert usage["total_tokens"] is None


def test_citations_are_kept_and_those_of_web_pages_are_annotations():
    message = message_of(streamed(ANSWERS["citations"]))
    assert message["citations"] == CITATIONS
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": 0,
                "end_index": 5,
                "url": "https://a.example",
                "title": "Sky",
            },
        }
    ]


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "ERROR_TOXIC"),
    ],
)
def test_finish_reasons_are_openais_or_their_own_but_never_a_false_stop(reason, finish_reason):
    final = answer({"content": TEXT}, finish_reason=reason)
    for exchange in (streamed(final), whole(WIRE, final)):
        assert completion_of(exchange)["choices"][0]["finish_reason"] == finish_reason


# The way back


@pytest.mark.parametrize("name", ["text", "thinking", "plan and calls", "citations"])
@pytest.mark.parametrize("decode", [streamed, lambda final: whole(WIRE, final)])
def test_a_completion_is_sent_back_unchanged(name, decode):
    message = json.loads(json.dumps(message_of(decode(ANSWERS[name]))))
    assert body_of(WIRE, [*USER, message])["messages"][1] == ANSWERS[name]["message"]


# Errors


@pytest.mark.parametrize(
    ("reason", "error", "status"), [("ERROR", InternalServerError, 500), ("TIMEOUT", Timeout, 408)]
)
def test_a_failed_response_is_an_error_with_its_partial_and_usage(reason, error, status):
    final = answer({"content": TEXT}, finish_reason=reason, error="boom")
    exchange = streamed(final)
    assert type(exchange.error) is error
    assert (exchange.error.status_code, exchange.error.message) == (status, "boom")
    assert exchange.error.retryable
    exchange.attach_partial()
    assert exchange.error.partial["choices"][0]["message"]["content"] == "Sunny now"
    assert exchange.error.partial["usage"]["total_tokens"] == 516
    assert type(whole(WIRE, final).error) is error
    silent = {**final, "error": None, "usage": None}
    assert reason in streamed(silent).error.message


@pytest.mark.parametrize(
    "data",
    [
        b'event: error\ndata: {"message":"boom"}\n\n',
        b'data: {"message":"boom"}\n\n',
        b'data: {"error":{"message":"boom"}}\n\n',
    ],
)
def test_an_error_event_is_an_error(data):
    exchange = answered(WIRE, sse(*events_of(ANSWERS["text"])[:3]) + data)
    assert isinstance(exchange.error, InternalServerError)
    assert exchange.error.message == "boom"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (404, NotFoundError),
        (422, UnprocessableEntityError),
        (429, RateLimitError),
        (498, BadRequestError),
        (500, InternalServerError),
        (501, InternalServerError),
        (504, Timeout),
    ],
)
def test_an_error_status_has_its_class(status, error):
    body = json.dumps({"id": "x", "message": "invalid request"}).encode()
    exchange = answered(WIRE, body, "application/json", status)
    assert type(exchange.error) is error
    assert exchange.error.message == "invalid request"


@pytest.mark.parametrize("body", [[], {}, {"text": "v1"}])
def test_a_body_without_a_completion_is_an_error(body):
    assert isinstance(whole(WIRE, body).error, APIResponseValidationError)


def test_an_error_under_a_200_is_an_error():
    assert isinstance(whole(WIRE, {"message": "invalid api token"}).error, InternalServerError)
