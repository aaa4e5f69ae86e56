"""Ollama's own chat, requests and responses, and its framing: JSON lines."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

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
    StreamTruncatedError,
    UnsupportedParamsError,
)
from ritellm.wire.framing.jsonl import JSONLines

WIRE = "ollama"
KIND = "application/x-ndjson"

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
COUNTS = {
    "total_duration": 5191566416,
    "load_duration": 2154458,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 383809000,
    "eval_count": 298,
    "eval_duration": 4799921000,
}
HEAD = {"model": "qwen3", "created_at": "2023-08-04T19:22:45.499127123Z"}
LOGPROBS = [
    {"token": "Sunny", "logprob": -0.1, "bytes": [83], "top_logprobs": []},
    {"token": " now", "logprob": -0.2, "bytes": [110], "top_logprobs": []},
]


def call(name: str, id: str | None = None, **arguments: Any) -> dict[str, Any]:
    function = {"index": 0, "name": name, "arguments": arguments}
    return {"id": id, "function": function} if id else {"function": function}


def answer(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "", **message}
    return {**HEAD, "message": message, "done": True, "done_reason": "stop", **COUNTS, **fields}


def lines_of(final: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines that stream `final`."""
    message, logprobs = final["message"], list(final.get("logprobs") or ())
    lines = []
    for name in ("thinking", "content"):
        text = message.get(name) or ""
        for piece in (text[i : i + 5] for i in range(0, len(text), 5)):
            said = {"role": "assistant", "content": "", name: piece}
            extra = {"logprobs": [logprobs.pop(0)]} if logprobs and name == "content" else {}
            lines.append({**HEAD, "message": said, "done": False, **extra})
    for each in message.get("tool_calls") or ():
        said = {"role": "assistant", "content": "", "tool_calls": [each]}
        lines.append({**HEAD, "message": said, "done": False})
    last = {k: v for k, v in final.items() if k != "logprobs"}
    return [*lines, {**last, "message": {"role": "assistant", "content": ""}}]


def ndjson(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def streamed(final: dict[str, Any]):
    return answered(WIRE, ndjson(*lines_of(final)), KIND)


ANSWERS = {
    "text": answer({"content": "Sunny now"}),
    "thinking": answer({"thinking": "Let me think", "content": "Sunny now"}),
    "calls": answer({"tool_calls": [call("weather", city="Paris"), call("now")]}),
    "calls with ids": answer(
        {"content": "I ask.", "tool_calls": [call("weather", "c1", city="Paris")]}
    ),
    "logprobs": answer({"content": "Sunny now"}, logprobs=LOGPROBS),
    "cut short": answer({"content": "Sunny"}, done_reason="length"),
    "loaded": {**HEAD, "message": {"role": "assistant", "content": ""}, "done": True,
               "done_reason": "load"},
}  # fmt: skip


# What is asked


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [{"role": "developer", "content": "Be brief"}, *USER],
            [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}],
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "What?"}, PICTURE]}],
            [{"role": "user", "content": "What?", "images": ["AAAA"]}],
        ),
        (
            [*USER,
             {"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": [
                 {"id": "c1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
             {"role": "tool", "tool_call_id": "c1", "content": "20"},
             {"role": "tool", "name": "now", "content": [{"type": "text", "text": "9"}]}],
            [{"role": "user", "content": "Hi"},
             {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": [
                 {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Paris"}}}]},
             {"role": "tool", "tool_name": "weather", "tool_call_id": "c1", "content": "20"},
             {"role": "tool", "tool_name": "now", "content": "9"}],
        ),
    ],
)  # fmt: skip
def test_messages_become_ollamas(messages, expected):
    assert body_of(WIRE, messages) == {"model": "m", "stream": True, "messages": expected}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_tokens": 5, "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "seed": 1},
         {"options": {"num_predict": 5, "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1,
                      "seed": 1}}),
        ({"stop": "END", "repetition_penalty": 1.1, "typical_p": 0.7, "presence_penalty": 1,
          "frequency_penalty": 2},
         {"options": {"stop": ["END"], "repeat_penalty": 1.1, "typical_p": 0.7,
                      "presence_penalty": 1, "frequency_penalty": 2}}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "w", "schema": SCHEMA}}}, {"format": SCHEMA}),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "minimal"}, {"think": True}),
        ({"reasoning_effort": "high"}, {"think": True}),
        ({"thinking": {"type": "enabled"}}, {"think": True}),
        ({"thinking": {"type": "disabled"}}, {"think": False}),
        ({"thinking": True}, {"think": True}),
        ({"tools": [TOOL]}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"stream_options": {"include_usage": True}, "n": 1}, {}),
    ],
)  # fmt: skip
def test_parameters_become_fields_and_options(params, expected):
    plain = {"model": "m", "stream": True, "messages": USER}
    assert body_of(WIRE, **params) == {**plain, **expected}


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:11434", "http://127.0.0.1:11434/api/chat"])
def test_the_request_goes_to_api_chat_and_streams_only_on_request(base_url):
    sent, body = asked(
        WIRE,
        base_url=base_url,
        key=None,
        stream=False,
        params={"temperature": 1},
        extra_body={"keep_alive": "1h", "options": {"num_ctx": 8192}},
    )
    assert (sent.method, sent.url) == ("POST", "http://127.0.0.1:11434/api/chat")
    assert dict(sent.headers) == {"content-type": "application/json", "accept": "application/json"}
    assert body["stream"] is False  # it streams unless told otherwise
    assert body["keep_alive"] == "1h"
    assert body["options"] == {"temperature": 1, "num_ctx": 8192}


def test_a_key_is_a_bearer_token():
    assert asked(WIRE)[0].headers["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2},
        {"logit_bias": {"1": 1}},
        {"user": "u"},
        {"parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": "required"},
    ],
)
def test_what_ollama_lacks_is_refused_before_sending_or_dropped_on_demand(params):
    with pytest.raises(UnsupportedParamsError):
        asked(WIRE, params=params)
    body = asked(WIRE, params=params, drop_params=True)[1]
    assert not body.keys() & (params.keys() - {"tools"})


@pytest.mark.parametrize("image", ["https://a.example/b.png", {"url": "https://a.example/b.png"}])
def test_an_image_on_the_web_is_an_error_that_says_what_to_pass(image):
    part = {"type": "image_url", "image_url": image}
    with pytest.raises(InvalidRequestError, match=r"data: URL \(base64\)"):
        body_of(WIRE, [{"role": "user", "content": [part]}])


def test_an_unknown_role_is_an_error_before_sending():
    with pytest.raises(InvalidRequestError, match="function"):
        body_of(WIRE, [{"role": "function", "name": "f", "content": "x"}])


# What comes back


@pytest.mark.parametrize("cut", [lambda data: [data], by_the_byte])
def test_a_recorded_stream_is_decoded(cut):
    data, expected = recorded("ollama/chat_text.ndjson")
    completion = completion_of(answered(WIRE, cut(data), KIND))
    (choice,) = completion["choices"]
    assert choice["message"]["content"] == expected["choices"][0]["text"]
    assert choice["finish_reason"] == "stop"
    assert completion["model"] == "llama3"
    assert completion["created"] == 1716582406
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert completion["usage"][name] == expected["usage"][name]
    assert completion["total_duration"] == 1897385625


def test_a_recorded_stream_cut_off_after_any_line_is_an_error():
    data, _ = recorded("ollama/chat_text.ndjson")
    lines = data.splitlines(keepends=True)
    for count in range(len(lines)):
        exchange = answered(WIRE, b"".join(lines[:count]), KIND)
        assert isinstance(exchange.error, StreamTruncatedError)


def test_a_line_cut_in_half_is_a_truncation():
    data = ndjson(*lines_of(ANSWERS["text"]))
    for size in range(len(data) - 1):
        exchange = answered(WIRE, data[:size], KIND)
        assert isinstance(exchange.error, StreamTruncatedError), size
    assert answered(WIRE, data[:-1], KIND).error is None  # whole, but for the newline


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_cut_off_after_any_line_is_an_error(name):
    lines = lines_of(ANSWERS[name])
    for count in range(len(lines)):
        exchange = answered(WIRE, ndjson(*lines[:count]), KIND)
        assert isinstance(exchange.error, StreamTruncatedError)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_streamed_completion_equals_the_unstreamed_one(name):
    assert completion_of(streamed(ANSWERS[name])) == completion_of(whole(WIRE, ANSWERS[name]))


def test_everything_has_its_place_in_the_completion():
    completion = completion_of(streamed(ANSWERS["thinking"]))
    assert completion == {
        "id": None,
        "object": "chat.completion",
        "created": 1691176965,
        "model": "qwen3",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Sunny now",
                    "reasoning_content": "Let me think",
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324},
        "usage_source": "provider",
        **{name: value for name, value in COUNTS.items() if name.endswith("duration")},
    }
    logprobs = completion_of(streamed(ANSWERS["logprobs"]))["choices"][0]["logprobs"]
    assert logprobs == {"content": LOGPROBS, "refusal": None}


def test_tool_calls_have_arguments_as_text_and_ids():
    exchange = streamed(ANSWERS["calls"])
    assert message_of(exchange)["tool_calls"] == [
        {
            "id": "call_0",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
        },
        {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    assert exchange.completion()["choices"][0]["finish_reason"] == "tool_calls"
    assert message_of(streamed(ANSWERS["calls with ids"]))["tool_calls"][0]["id"] == "c1"


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [("stop", "stop"), ("length", "length"), ("load", "load"), ("new", "new"), (None, None)],
)
def test_done_reasons_are_openais_or_their_own_but_never_a_false_stop(reason, finish_reason):
    final = answer({"content": "Hi"}, done_reason=reason)
    for exchange in (streamed(final), whole(WIRE, final)):
        assert completion_of(exchange)["choices"][0]["finish_reason"] == finish_reason


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"eval_count": 3}, {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}),
        ({"prompt_eval_count": 3}, {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}),
        ({}, None),
    ],
)
def test_a_missing_count_is_zero_and_without_counts_usage_is_none(counts, usage):
    message = {"role": "assistant", "content": "Hi"}
    line = {**HEAD, "message": message, "done": True, "done_reason": "stop", **counts}
    assert completion_of(whole(WIRE, line))["usage"] == usage


@pytest.mark.parametrize(
    ("time", "created"),
    [
        ("2023-08-04T08:52:19.385406455-07:00", 1691164339),
        ("2023-08-04T19:22:45Z", 1691176965),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_time_is_the_providers_or_none(time, created):
    assert (
        completion_of(whole(WIRE, answer({"content": "Hi"}, created_at=time)))["created"] == created
    )


# The way back


@pytest.mark.parametrize("name", ["text", "thinking", "calls", "calls with ids"])
@pytest.mark.parametrize("decode", [streamed, lambda final: whole(WIRE, final)])
def test_a_completion_is_sent_back_unchanged(name, decode):
    message = json.loads(json.dumps(message_of(decode(ANSWERS[name]))))
    back = body_of(WIRE, [*USER, message])["messages"][1]
    for each in back.get("tool_calls", ()):
        each.pop("id")
    expected = ANSWERS[name]["message"]
    calls = [
        {"function": {k: v for k, v in c["function"].items() if k != "index"}}
        for c in expected.get("tool_calls", ())
    ]
    assert back == {**expected, **({"tool_calls": calls} if calls else {})}


# Errors


def test_an_error_line_is_an_error_with_the_partial_completion():
    lines = lines_of(ANSWERS["text"])[:1]
    exchange = answered(WIRE, ndjson(*lines, {"error": "an error was encountered"}), KIND)
    assert type(exchange.error) is InternalServerError
    assert exchange.error.message == "an error was encountered"
    exchange.attach_partial()
    assert exchange.error.partial["choices"][0]["message"]["content"] == "Sunny"


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (400, "registry.ollama.ai/library/x does not support tools", BadRequestError),
        (404, "model 'x' not found", NotFoundError),
        (500, "llama runner process has terminated", InternalServerError),
    ],
)
def test_an_error_status_has_its_class(status, text, error):
    body = json.dumps({"error": text}).encode()
    exchange = answered(WIRE, body, "application/json", status)
    assert type(exchange.error) is error
    assert exchange.error.message == text


@pytest.mark.parametrize("data", [b"[]\n", b"nonsense\n", b'"text"\n'])
def test_a_line_of_another_shape_is_an_error(data):
    assert isinstance(answered(WIRE, data, KIND).error, APIResponseValidationError)


def test_a_body_without_a_completion_is_an_error():
    assert isinstance(whole(WIRE, {"response": "x"}).error, APIResponseValidationError)
    assert isinstance(whole(WIRE, {"error": "x"}).error, InternalServerError)


# The framing


@given(st.data())
def test_lines_do_not_depend_on_where_the_bytes_are_cut(data):
    """A line that opens a document goes on in the next one; the others are an event each."""
    parts = st.sampled_from([b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"a"])
    line = st.lists(parts, max_size=5).map(b"".join) | st.binary(max_size=6)
    line = line.map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"").strip())
    lines = data.draw(st.lists(line, max_size=8))
    newline = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    body = newline.join(lines) + data.draw(st.sampled_from([b"", newline, newline * 2]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    framing, whole = JSONLines(), JSONLines()
    bounds = [0, *cuts, len(body)]
    events = [event for start, end in pairwise(bounds) for event in framing.feed(body[start:end])]
    events += framing.eof()
    assert events == [*whole.feed(body), *whole.eof()]
    assert [part for _, each in events for part in each.split(b"\n")] == [*filter(None, lines)]
    if not any(each.startswith((b"{", b"[")) for each in lines):
        assert events == [("", each) for each in lines if each]
