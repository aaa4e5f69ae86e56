"""OpenAI's Responses API: requests and responses."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
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
    sse,
    sse_cuts,
    whole,
)

from ritellm.calls.exchange import Exchange
from ritellm.endpoints import Endpoint, Provider, Quirks
from ritellm.errors import (
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    StreamTruncatedError,
    Timeout,
    UnsupportedParamsError,
)
from ritellm.types import Request

WIRE = "openai_responses"

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it", "parameters": WEATHER},
}

USAGE = {
    "input_tokens": 37,
    "input_tokens_details": {"cached_tokens": 12},
    "output_tokens": 90,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 127,
}
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [
        {"type": "summary_text", "text": "First this."},
        {"type": "summary_text", "text": "Then that."},
    ],
    "encrypted_content": "gAAA",
    "status": None,
}
SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}
NOTE = {
    "type": "url_citation",
    "start_index": 0,
    "end_index": 5,
    "url": "https://a.example",
    "title": "A",
}
LOGPROBS = [
    {"token": "Sunny", "logprob": -0.1, "bytes": [83], "top_logprobs": []},
    {"token": " now", "logprob": -0.2, "bytes": [110], "top_logprobs": []},
]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "phase": "final_answer",
    "content": [
        {
            "type": "output_text",
            "text": "Sunny now",
            "annotations": [NOTE],
            "logprobs": LOGPROBS,
        }
    ],
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Paris"}',
}
CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "completed",
    "call_id": "call_2",
    "name": "shell",
    "input": "ls -l",
}


def response(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1778037177,
        "model": "gpt-5.5",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": list(output),
        "service_tier": "default",
        "usage": USAGE,
        "metadata": {},
        "instructions": "a long prompt that is not to be repeated",
        **fields,
    }


def deltas(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events between an item's `added` and its `done`, a few characters each."""
    place = {"output_index": index, "item_id": item["id"]}

    def cut(text: str) -> list[str]:
        return [text[i : i + 5] for i in range(0, len(text), 5)]

    if item["type"] == "function_call":
        kind = "response.function_call_arguments.delta"
        return [{"type": kind, **place, "delta": piece} for piece in cut(item["arguments"])]
    if item["type"] == "custom_tool_call":
        kind = "response.custom_tool_call_input.delta"
        return [{"type": kind, **place, "delta": piece} for piece in cut(item["input"])]
    events: list[dict[str, Any]] = []
    if item["type"] == "reasoning":
        for number, part in enumerate(item["summary"]):
            kind, where = "response.reasoning_summary_text.delta", {"summary_index": number}
            events += [{"type": kind, **place, **where, "delta": p} for p in cut(part["text"])]
        for number, part in enumerate(item.get("content") or ()):
            kind, where = "response.reasoning_text.delta", {"content_index": number}
            events += [{"type": kind, **place, **where, "delta": p} for p in cut(part["text"])]
    for part in item.get("content") or ():
        if part["type"] == "refusal":
            kind = "response.refusal.delta"
            events += [{"type": kind, **place, "delta": p} for p in cut(part["refusal"])]
        elif part["type"] == "output_text":
            kind, logprobs = "response.output_text.delta", list(part.get("logprobs") or ())
            for piece in cut(part["text"]):
                event = {"type": kind, **place, "content_index": 0, "delta": piece}
                events.append({**event, "logprobs": [logprobs.pop(0)] if logprobs else []})
            kind = "response.output_text.annotation.added"
            events += [{"type": kind, **place, "annotation": a} for a in part["annotations"]]
    return events


def events_of(final: dict[str, Any], *, with_deltas: bool = True) -> list[dict[str, Any]]:
    """Return the events that stream `final`."""
    begun = {**final, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(final["output"]):
        empty = {k: "" if k in ("arguments", "input") else v for k, v in item.items()}
        empty = {**empty, "status": "in_progress", **({"content": []} if "content" in item else {})}
        place = {"output_index": index}
        events.append({"type": "response.output_item.added", **place, "item": empty})
        if item is SEARCH:
            events.append({"type": "response.web_search_call.searching", **place})
            events.append({"type": "response.web_search_call.completed", **place})
        if with_deltas:
            events += deltas(index, item)
        events.append({"type": "response.output_item.done", **place, "item": item})
    events.append({"type": f"response.{final['status']}", "response": final})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def streamed(final: dict[str, Any], **options: Any):
    return answered(WIRE, sse(*events_of(final, **options)))


ANSWERS = {
    "text": response(MESSAGE),
    "reasoning, search, text": response(REASONING, SEARCH, MESSAGE),
    "reasoning and a call": response(REASONING, CALL),
    "two calls": response(CALL, {**CALL, "id": "fc_2", "call_id": "call_9"}, CUSTOM),
    "two messages": response(
        {**MESSAGE, "phase": "commentary"}, CALL, {**MESSAGE, "id": "msg_2", "phase": None}
    ),
    "raw reasoning": response(
        {"id": "rs", "type": "reasoning", "summary": [], "content": [
            {"type": "reasoning_text", "text": "Hmm, well."}]},
        MESSAGE,
    ),
    "an image": response(
        {"id": "ig_1", "type": "image_generation_call", "status": "completed",
         "output_format": "webp", "result": "AAAA"},
        MESSAGE,
    ),
    "a file": response(
        {**MESSAGE, "content": [{**MESSAGE["content"][0], "annotations": [
            {"type": "file_citation", "file_id": "f", "filename": "a", "index": 1}]}]}
    ),
    "no usage": response(MESSAGE, usage=None),
    "refusal": response(
        {**MESSAGE, "content": [{"type": "refusal", "refusal": "I will not do that."}]}
    ),
    "nothing": response(),
    "cut short": response(
        MESSAGE, status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    ),
}  # fmt: skip


# What is asked


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (USER, {"input": [{"role": "user", "content": "Hi"}]}),
        (
            [{"role": "system", "content": "Be brief"}, *USER],
            {"instructions": "Be brief", "input": [{"role": "user", "content": "Hi"}]},
        ),
        (
            [{"role": "developer", "content": [{"type": "text", "text": "Be brief"}]},
             {"role": "system", "content": "Be kind"}, *USER,
             {"role": "system", "content": "Be quick"}],
            {"instructions": "Be brief\n\nBe kind",
             "input": [{"role": "user", "content": "Hi"},
                       {"role": "system", "content": "Be quick"}]},
        ),
        (
            [{"role": "system", "content": "Be brief"}],
            {"input": [{"role": "system", "content": "Be brief"}]},
        ),
        (
            [{"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
                {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
                {"type": "file", "file": {"filename": "a.pdf",
                                          "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ]}],
            {"input": [{"role": "user", "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==",
                 "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf",
                 "file_data": "data:application/pdf;base64,AA=="},
                {"type": "input_file", "file_id": "file-1"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ]}]},
        ),
        (
            [*USER,
             {"role": "assistant", "content": "Looking", "tool_calls": [
                 {"id": "c1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                 {"id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}},
                 {"id": "c3", "type": "custom", "custom": {"name": "shell", "input": "ls"}}]},
             {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
             {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "9"}]},
             {"role": "tool", "tool_call_id": "c3", "content": "a.txt"}],
            {"input": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Looking"},
                {"type": "function_call", "call_id": "c1", "name": "weather",
                 "arguments": '{"city":"Paris"}'},
                {"type": "function_call", "call_id": "c2", "name": "now", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "c3", "name": "shell", "input": "ls"},
                {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
                {"type": "function_call_output", "call_id": "c2",
                 "output": [{"type": "input_text", "text": "9"}]},
                {"type": "custom_tool_call_output", "call_id": "c3", "output": "a.txt"}]},
        ),
        (
            [*USER, {"role": "assistant", "content": [
                {"type": "text", "text": "No."}, {"type": "refusal", "refusal": "Really."}]}],
            {"input": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "No."},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "Really."}]}]},
        ),
    ],
)  # fmt: skip
def test_messages_become_items(messages, expected):
    assert body_of(WIRE, messages) == {"model": "m", "stream": True, **expected}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_output_tokens": 6}),
        ({"temperature": 0, "top_p": 0.5, "user": "u"},
         {"temperature": 0, "top_p": 0.5, "user": "u"}),
        ({"metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k",
          "safety_identifier": "s", "parallel_tool_calls": False},
         {"metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k",
          "safety_identifier": "s", "parallel_tool_calls": False}),
        ({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}),
        ({"reasoning_effort": {"effort": "low", "summary": "auto"}},
         {"reasoning": {"effort": "low", "summary": "auto"}}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"response_format": {"type": "json_object"}, "verbosity": "low"},
         {"text": {"format": {"type": "json_object"}, "verbosity": "low"}}),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "w", "schema": WEATHER, "strict": True}}},
         {"text": {"format": {"type": "json_schema", "name": "w", "schema": WEATHER,
                              "strict": True}}}),
        ({"store": True}, {"store": True}),
        ({"store": False}, {"store": False, "include": ["reasoning.encrypted_content"]}),
        ({"logprobs": True, "top_logprobs": 3},
         {"top_logprobs": 3, "include": ["message.output_text.logprobs"]}),
        ({"stream_options": {"include_usage": True}}, {}),
        ({"stream_options": {"include_usage": True, "include_obfuscation": False}},
         {"stream_options": {"include_obfuscation": False}}),
        ({"n": 1, "presence_penalty": 0, "logprobs": False}, {}),
        ({"tools": [TOOL]},
         {"tools": [{"type": "function", "name": "weather", "description": "Tells it",
                     "parameters": WEATHER, "strict": False}]}),
        ({"tools": [{"type": "function", "function": {"name": "now", "strict": True}}]},
         {"tools": [{"type": "function", "name": "now", "parameters": None, "strict": True}]}),
        ({"tools": [{"type": "custom", "custom": {"name": "say"}}]},
         {"tools": [{"type": "custom", "name": "say"}]}),
        ({"tools": [{"type": "custom", "custom": {"name": "shell", "format": {
            "type": "grammar", "grammar": {"definition": "x", "syntax": "lark"}}}},
            {"type": "web_search"}]},
         {"tools": [{"type": "custom", "name": "shell", "format": {
             "type": "grammar", "definition": "x", "syntax": "lark"}}, {"type": "web_search"}]}),
        ({"web_search_options": {"search_context_size": "low", "user_location": {
            "type": "approximate", "approximate": {"city": "Paris"}}}},
         {"tools": [{"type": "web_search", "search_context_size": "low",
                     "user_location": {"type": "approximate", "city": "Paris"}}]}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}},
         {"tool_choice": {"type": "function", "name": "weather"}}),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [{"type": "function", "function": {"name": "a"}}]}}},
         {"tool_choice": {"type": "allowed_tools", "mode": "auto",
                          "tools": [{"type": "function", "name": "a"}]}}),
        ({"tool_choice": {"type": "web_search"}}, {"tool_choice": {"type": "web_search"}}),
    ],
)  # fmt: skip
def test_parameters_become_fields(params, expected):
    plain = {"model": "m", "stream": True, "input": [{"role": "user", "content": "Hi"}]}
    assert body_of(WIRE, **params) == {**plain, **expected}


def test_the_request_goes_to_responses_with_the_key_as_bearer():
    sent, body = asked(WIRE, base_url="https://api.openai.com/v1", stream=False)
    assert (sent.method, sent.url) == ("POST", "https://api.openai.com/v1/responses")
    assert dict(sent.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer k",
    }
    assert "stream" not in body


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://a/v1/", "https://a/v1/responses"),
        ("https://a/v1/responses", "https://a/v1/responses"),
        (
            "https://a/openai/v1/responses?api-version=preview",
            "https://a/openai/v1/responses?api-version=preview",
        ),
    ],
)
def test_a_base_url_that_ends_in_the_path_is_used_as_it_is(base_url, url):
    assert asked(WIRE, base_url=base_url)[0].url == url


def test_a_providers_own_stream_options_hold_at_its_own_address():
    provider = Provider("p", WIRE, "http://p", quirks=Quirks({"include_obfuscation": False}))
    request = Request("m", USER, stream=True)
    for base_url, options in (("http://p", {"include_obfuscation": False}), ("http://q", None)):
        exchange = Exchange(request, Endpoint(provider, base_url))
        assert json.loads(exchange.http_request().content).get("stream_options") == options


def test_own_fields_and_headers_come_last_and_objects_are_merged():
    sent, body = asked(
        WIRE,
        params={"reasoning_effort": "low"},
        extra_body={"reasoning": {"summary": "auto"}, "background": True, "model": "other"},
        extra_headers={"OpenAI-Organization": "o", "Authorization": "Bearer mine"},
    )
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (body["background"], body["model"]) == (True, "other")
    assert sent.headers["openai-organization"] == "o"
    assert sent.headers["authorization"] == "Bearer mine"


@pytest.mark.parametrize(
    "params",
    [{"stop": ["x"]}, {"seed": 1}, {"n": 2}, {"logit_bias": {"1": 1}}, {"presence_penalty": 1}],
)
def test_what_the_api_lacks_is_refused_before_sending_or_dropped_on_demand(params):
    with pytest.raises(UnsupportedParamsError, match=f"no {next(iter(params))}"):
        asked(WIRE, params=params)
    assert not asked(WIRE, params=params, drop_params=True)[1].keys() & params.keys()


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "name": "f", "content": "x"},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]},
    ],
)
def test_a_message_without_an_item_is_an_error_before_sending(message):
    with pytest.raises(InvalidRequestError):
        body_of(WIRE, [message])


# What comes back


@pytest.mark.parametrize("pieces", [lambda data: [data], by_the_byte])
def test_a_recorded_stream_is_decoded(pieces):
    data, expected = recorded("openai_responses/text_gpt55.sse")
    completion = completion_of(answered(WIRE, pieces(data)))
    (choice,) = completion["choices"]
    assert choice["message"]["content"] == expected["choices"][0]["text"]
    assert choice["finish_reason"] == "stop"
    assert completion["id"] == expected["top"]["id"]
    assert completion["model"] == expected["top"]["model"]
    assert completion["created"] == 1778037177
    usage = completion["usage"]
    assert usage["prompt_tokens"] == expected["usage"]["prompt_tokens"]
    assert usage["completion_tokens"] == expected["usage"]["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0


def test_a_recorded_stream_cut_off_after_any_event_is_an_error():
    data, _ = recorded("openai_responses/text_gpt55.sse")
    *cuts, full = sse_cuts(data)
    for cut in cuts:
        exchange = answered(WIRE, cut)
        assert isinstance(exchange.error, StreamTruncatedError)
        assert exchange.error.retryable
    assert answered(WIRE, full).error is None


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("with_deltas", [True, False])
def test_a_streamed_completion_equals_the_unstreamed_one(name, with_deltas):
    sent_whole = completion_of(whole(WIRE, ANSWERS[name]))
    summed = completion_of(streamed(ANSWERS[name], with_deltas=with_deltas))
    assert (
        summed.pop("sequence_number") == len(events_of(ANSWERS[name], with_deltas=with_deltas)) - 1
    )
    assert summed == sent_whole


def test_everything_has_its_place_in_the_completion():
    completion = completion_of(streamed(ANSWERS["reasoning, search, text"]))
    (choice,) = completion["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Sunny now",
        "reasoning_content": "First this.\n\nThen that.",
        "annotations": [
            {
                "type": "url_citation",
                "url_citation": {k: v for k, v in NOTE.items() if k != "type"},
            }
        ],
        "provider_specific_fields": {
            "response_items": [
                {k: v for k, v in REASONING.items() if v is not None},
                SEARCH,
                {
                    "from": "content",
                    "length": 9,
                    **{k: v for k, v in MESSAGE.items() if k != "content"},
                },
            ]
        },
    }
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] == {"content": LOGPROBS, "refusal": None}
    assert completion["usage"] == {
        "prompt_tokens": 37,
        "prompt_tokens_details": {"cached_tokens": 12},
        "completion_tokens": 90,
        "completion_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 127,
    }
    assert completion["usage_source"] == "provider"
    assert completion["service_tier"] == "default"
    assert "instructions" not in completion


def test_tool_calls_are_numbered_as_chat_numbers_them():
    message = message_of(streamed(ANSWERS["reasoning and a call"]))
    assert message["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
        }
    ]
    exchange = streamed(ANSWERS["two calls"])
    calls = message_of(exchange)["tool_calls"]
    assert [call["id"] for call in calls] == ["call_1", "call_9", "call_2"]
    assert calls[2] == {
        "id": "call_2",
        "type": "custom",
        "custom": {"name": "shell", "input": "ls -l"},
    }
    assert exchange.completion()["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("fields", "finish_reason"),
    [
        ({}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "steered"),
        ({"status": "incomplete"}, "length"),
    ],
)
def test_finish_reasons_are_chats_or_their_own_but_never_a_false_stop(fields, finish_reason):
    final = response(MESSAGE, **fields)
    for exchange in (streamed(final), whole(WIRE, final)):
        assert completion_of(exchange)["choices"][0]["finish_reason"] == finish_reason


def test_chunks_carry_the_number_from_which_a_stream_can_be_resumed():
    exchange = exchange_with(WIRE)
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    chunks = exchange.receive_data(sse(*events_of(ANSWERS["text"])))
    numbers = [chunk["sequence_number"] for chunk in chunks]
    assert numbers == sorted(numbers)
    assert {chunk["id"] for chunk in chunks} == {"resp_1"}


def test_a_silent_search_counts_as_progress():
    exchange = exchange_with(WIRE)
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    event = {"type": "response.web_search_call.searching", "output_index": 0}
    (chunk,) = exchange.receive_data(sse(event))
    assert chunk["choices"] == [{"index": 0, "delta": {"content": None}}]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_cut_off_after_any_event_is_an_error(name):
    *cuts, _ = sse_cuts(sse(*events_of(ANSWERS[name])))
    for cut in cuts:
        assert isinstance(answered(WIRE, cut).error, StreamTruncatedError)


def test_an_image_is_delivered_as_a_data_url():
    images = message_of(streamed(ANSWERS["an image"]))["images"]
    assert images == [{"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}]


def test_a_call_without_a_head_gets_it_from_the_whole_item():
    events = [e for e in events_of(ANSWERS["two calls"]) if "added" not in e["type"]]
    calls = message_of(answered(WIRE, sse(*events)))["tool_calls"]
    assert calls == message_of(streamed(ANSWERS["two calls"]))["tool_calls"]


def test_a_resumed_stream_gets_its_head_at_the_end():
    events = events_of(ANSWERS["text"])[4:]
    completion = completion_of(answered(WIRE, sse(*events)))
    assert completion["id"] == "resp_1"
    assert completion["choices"][0]["message"]["content"] == " now"


def test_annotations_that_came_only_with_the_item_are_not_lost():
    events = [e for e in events_of(ANSWERS["text"]) if "annotation" not in e["type"]]
    message = message_of(answered(WIRE, sse(*events)))
    assert len(message["annotations"]) == 1


def test_done_is_optional():
    events = events_of(ANSWERS["text"])
    assert answered(WIRE, sse(*events, done=True)).error is None
    assert isinstance(answered(WIRE, sse(*events[:-1], done=True)).error, StreamTruncatedError)


# The way back


def sent_back(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return items as they may go back: without nulls, and without logprobs, which are output."""
    items = [{k: v for k, v in item.items() if v is not None} for item in deepcopy(output)]
    for item in items:
        for part in item.get("content", ()):
            part.pop("logprobs", None)
    return items


@pytest.mark.parametrize(
    "name", ["reasoning, search, text", "reasoning and a call", "text", "an image", "refusal"]
)
@pytest.mark.parametrize("decode", [streamed, lambda final: whole(WIRE, final)])
def test_a_completion_is_sent_back_unchanged(name, decode):
    message = message_of(decode(ANSWERS[name]))
    items = body_of(WIRE, [*USER, json.loads(json.dumps(message))])["input"][1:]
    assert items == sent_back(ANSWERS[name]["output"])


def test_a_plain_completion_has_no_layout():
    plain = {k: v for k, v in MESSAGE.items() if k != "phase"}
    message = message_of(streamed(response(plain, CALL)))
    assert "provider_specific_fields" not in message
    items = body_of(WIRE, [*USER, message])["input"][1:]
    assert [item.get("type") for item in items] == [None, "function_call"]


def test_arguments_that_are_not_text_become_text():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    items = body_of(WIRE, [*USER, message])["input"]
    assert [item.get("arguments") for item in items] == [None, '{"a":1}']


def test_annotations_are_sent_back_with_their_text():
    message = message_of(streamed(ANSWERS["text"]))
    del message["provider_specific_fields"]
    (item,) = body_of(WIRE, [*USER, {**message, "refusal": "No"}])["input"][1:2]
    assert item["content"][0]["annotations"] == [NOTE]


def test_several_messages_go_back_apart():
    message = message_of(streamed(ANSWERS["two messages"]))
    assert message["content"] == "Sunny nowSunny now"
    items = body_of(WIRE, [*USER, message])["input"][1:]
    assert [(item["type"], item.get("phase")) for item in items] == [
        ("message", "commentary"),
        ("function_call", None),
        ("message", None),
    ]
    assert [item["content"][0]["text"] for item in items if "content" in item] == ["Sunny now"] * 2


def test_an_edited_message_goes_back_as_edited():
    message = message_of(streamed(ANSWERS["reasoning, search, text"]))
    items = body_of(WIRE, [*USER, {**message, "content": "Rainy"}])["input"][1:]
    assert [item["content"][0]["text"] for item in items] == ["Rainy"]


def test_reasoning_that_was_not_stored_is_not_sent_back():
    unsent = {"id": "rs_1", "type": "reasoning", "summary": []}
    message = message_of(whole(WIRE, response(unsent, MESSAGE)))
    stored = body_of(WIRE, [*USER, message])["input"]
    assert [item.get("type") for item in stored] == [None, "reasoning", "message"]
    unstored = body_of(WIRE, [*USER, message], store=False)["input"]
    assert [item.get("type") for item in unstored] == [None, "message"]


# Errors


@pytest.mark.parametrize(
    ("event", "error", "status"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
         RateLimitError, 429),
        ({"type": "error", "code": "server_error", "message": "oops"}, InternalServerError, 500),
        ({"type": "error", "error": {"type": "invalid_request_error", "code":
          "context_length_exceeded", "message": "long"}}, ContextWindowExceededError, 400),
        ({"type": "error", "message": "?"}, InternalServerError, 500),
        ({"type": "response.failed", "response": response(status="failed", error={
            "code": "invalid_prompt", "message": "no"})}, BadRequestError, 400),
        ({"type": "response.failed", "response": response(status="failed", error={
            "code": "image_content_policy_violation", "message": "no"})},
         ContentPolicyViolationError, 400),
        ({"type": "response.failed", "response": response(status="failed", error={
            "code": "vector_store_timeout", "message": "late"})}, Timeout, 408),
        ({"type": "response.failed", "response": response(status="failed")},
         InternalServerError, 500),
        ({"type": "response.cancelled", "response": response(status="cancelled")}, APIError, 500),
    ],
)  # fmt: skip
def test_an_error_inside_the_stream_has_its_class_and_the_partial_completion(event, error, status):
    begun = events_of(ANSWERS["text"])[:6]
    exchange = answered(WIRE, sse(*begun, event))
    assert type(exchange.error) is error
    assert exchange.error.status_code == status
    exchange.attach_partial()
    assert exchange.error.partial["choices"][0]["message"]["content"].startswith("Sunny")


def test_a_failed_response_still_has_its_usage():
    failed = response(status="failed", error={"code": "server_error", "message": "oops"})
    exchange = answered(WIRE, sse({"type": "response.failed", "response": failed}))
    assert exchange.sum.usage["total_tokens"] == 127
    assert isinstance(whole(WIRE, failed).error, InternalServerError)


@pytest.mark.parametrize(
    ("status", "body", "error", "retryable"),
    [
        (401, {"error": {"code": "invalid_api_key", "message": "x"}}, AuthenticationError, False),
        (404, {"error": {"code": "model_not_found", "message": "x"}}, NotFoundError, False),
        (400, {"error": {"type": "invalid_request_error", "message": "x"}}, BadRequestError, False),
        (429, {"error": {"code": "insufficient_quota", "message": "x"}}, RateLimitError, False),
        (429, {"error": {"code": "rate_limit_exceeded", "message": "x"}}, RateLimitError, True),
        (500, "oops", InternalServerError, True),
    ],
)
def test_an_error_status_has_its_class(status, body, error, retryable):
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode()
    exchange = answered(WIRE, data, "application/json", status)
    assert type(exchange.error) is error
    assert exchange.error.retryable is retryable


def test_an_error_under_a_200_is_an_error():
    body = {"error": {"code": "server_error", "message": "oops"}}
    assert type(whole(WIRE, body).error) is InternalServerError
    failed = response(status="failed", usage=None)
    assert type(whole(WIRE, failed).error) is InternalServerError


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"choices": []},
        response(status="in_progress"),
        response(status="queued"),
        {"output": {}},
        {"output": [1]},
    ],
)
def test_a_body_without_a_response_is_an_error(body):
    assert isinstance(whole(WIRE, body).error, APIResponseValidationError)
