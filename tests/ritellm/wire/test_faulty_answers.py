"""Answers that break their format in ways that servers really do: they are read all the same."""

from __future__ import annotations

import orjson
import pytest
from dialect_samples import DIALECTS, EVENTS
from replay import answered, by_the_byte, completion_of, message_of, sse, whole

from ritellm.errors import (
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    RateLimitError,
    StreamTruncatedError,
    Timeout,
)

LINES = "application/x-ndjson"
HEAD = b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}'
STOP = b'{"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
DONE = b"data: [DONE]\n\n"


def chunk(text: bytes) -> bytes:
    return b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"%s"}}]}' % text


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def body(*texts: bytes) -> bytes:
    return b"".join(map(event, [HEAD, *map(chunk, texts), STOP])) + DONE


def content(data: bytes, wire: str = "openai_chat", kind: str = EVENTS):
    """Return the text of a stream, which must not depend on where its bytes are cut."""
    exchanges = [answered(wire, pieces, kind) for pieces in (data, by_the_byte(data))]
    first, second = (message_of(exchange)["content"] for exchange in exchanges)
    assert first == second
    return first


IDLE = [b": keepalive", b"null", b":", b" null", b'""', b"ping", b"[PING]", b'"heartbeat"']
STREAMED = {
    name: sample for name, sample in DIALECTS.items() if sample[1] in (EVENTS, LINES)
}  # Bedrock's frames are binary
WIRES = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "cohere": "cohere",
    "ollama": "ollama",
    "openai": "openai_chat",
    "openai/responses": "openai_responses",
}


def wire_of(model: str) -> str | None:
    names = [name for name in WIRES if model.startswith(f"{name}/")]
    return WIRES[max(names, key=len)] if names else None


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize("model", [model for model in STREAMED if wire_of(model)])
def test_data_that_only_keeps_the_connection_open_is_passed_over(model, idle):
    stream, kind, _, _ = STREAMED[model]
    if kind == LINES:
        stream = stream.replace(b"\n", b"\n" + idle + b"\n")
        stream = idle + b"\n" + stream
    else:
        stream = event(idle) + stream.replace(b"\n\n", b"\n\n" + event(idle))
    assert content(stream, wire_of(model), kind) == "Hello there"


@pytest.mark.parametrize("name", ["ping", "keepalive", "keep-alive", "heartbeat"])
def test_an_event_whose_name_says_ping_adds_nothing(name):
    ping = f'event: {name}\ndata: {{"time": 1}}\n\n'.encode()
    data = event(HEAD) + ping + event(chunk(b"Hi")) + ping + event(STOP) + DONE
    assert "time" not in completion_of(answered("openai_chat", data))
    typed = sse({"type": "ping"})
    assert "type" not in completion_of(answered("openai_chat", typed + data + DONE))


@pytest.mark.parametrize("data", [b"{", b"{oops", b"17", b'"text"', b"nulll", b"<html>"])
def test_other_data_is_still_an_error(data):
    error = answered("openai_chat", event(HEAD) + event(data) + body(b"Hi")).error
    assert type(error) is APIResponseValidationError


# JSON without a field name

LIMIT = b'{\n  "error": {\n    "message": "slow down",\n    "code": "rate_limit_exceeded"\n  }\n}\n'
CONTEXT = b'{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}'


@pytest.mark.parametrize("ends", [b"", b"\n", b"\n\n", b"\n\n" + DONE, b"\n" + DONE])
def test_an_error_without_a_field_name_is_raised_with_what_came_before(ends):
    begun = event(HEAD) + event(chunk(b"Hel")) + event(chunk(b"lo"))
    for before, text in ((b"", None), (begun, "Hello"), (begun[:-1], "Hello")):
        for pieces in (before + LIMIT.strip() + ends, by_the_byte(before + LIMIT.strip() + ends)):
            exchange = answered("openai_chat", pieces)
            assert type(exchange.error) is RateLimitError
            assert exchange.error.message == "slow down"
            if text:
                exchange.attach_partial()
                assert exchange.error.partial.choices[0].message.content == text


def test_an_error_in_place_of_a_stream_is_not_asked_again():
    error = answered("openai_chat", CONTEXT).error
    assert type(error) is ContextWindowExceededError
    assert not error.retryable


@pytest.mark.parametrize("wire", ["anthropic", "cohere", "openai_responses", "gemini"])
def test_an_error_without_a_field_name_is_found_in_every_dialect_of_events(wire):
    body = b'{"error":{"message":"slow down","code":429,"type":"rate_limit_error"}}'
    assert type(answered(wire, body).error) is RateLimitError


@pytest.mark.parametrize("line", [b"[INFO] loaded", b"{oops", b"[1, 2]", b"{not json}\n}"])
def test_a_line_that_is_not_json_is_ignored(line):
    assert content(line + b"\n\n" + body(b"Hi")) == "Hi"
    assert content(event(HEAD) + line + b"\n\n" + body(b"Hi")) == "Hi"


def test_half_an_error_without_a_field_name_is_a_truncation():
    exchange = answered("openai_chat", event(HEAD) + event(chunk(b"Hi")) + LIMIT[:30])
    assert type(exchange.error) is StreamTruncatedError


@pytest.mark.parametrize("model", [model for model in STREAMED if wire_of(model)])
@pytest.mark.parametrize("prefix", [b"", b"data: "])
def test_a_whole_answer_in_place_of_events_is_the_answer(model, prefix):
    body = prefix + orjson.dumps(STREAMED[model][2]) + b"\n\n" + DONE
    if STREAMED[model][1] == EVENTS:
        assert content(body, wire_of(model)) == "Hello there"


@pytest.mark.parametrize("end", [b"\n\ndata: [DONE]\n\n", b"data:[DONE]", b"\r\ndata: [DONE]\r\n"])
def test_a_document_with_the_end_of_a_stream_behind_it_is_the_answer(end):
    document = b'{"choices":[{"index":0,"message":{"content":"data: Hi"},"finish_reason":"stop"}]}'
    assert message_of(whole("openai_chat", document + end))["content"] == "data: Hi"
    assert type(whole("openai_chat", document[:-9] + end).error) is StreamTruncatedError


def test_an_empty_event_and_an_empty_usage_add_nothing():
    empty = event(b"{}") + event(b'{"choices":[],"usage":{}}')
    exchange = answered("openai_chat", empty + body(b"Hi") + empty)
    assert completion_of(exchange)["usage"] is None
    assert answered("openai_chat", event(b"{}")).sum.count == 0


def test_a_whole_answer_with_calls_in_place_of_events_keeps_them_apart():
    calls = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for id, name in (("a", "f"), ("b", "g"))
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    assert message_of(answered("openai_chat", sse(answer, done=True)))["tool_calls"] == calls


# Vendors' own errors

ENVELOPES = [
    ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, RateLimitError),
    ({"base_resp": {"status_code": 1004, "status_msg": "bad key"}}, AuthenticationError),
    ({"base_resp": {"status_code": 1001, "status_msg": "timeout"}}, Timeout),
    ({"base_resp": {"status_code": 1008, "status_msg": "no balance"}}, BadRequestError),
    ({"base_resp": {"status_code": 1026, "status_msg": "bad"}}, ContentPolicyViolationError),
    ({"base_resp": {"status_code": 9, "status_msg": "odd"}}, InternalServerError),
    ({"error_code": 18, "error_msg": "qps limit"}, InternalServerError),
    ({"code": 500, "msg": "404 NOT_FOUND", "success": False}, InternalServerError),
    ({"code": 20012, "message": "no such model", "data": None}, InternalServerError),
    ({"code": "invalid_api_key", "message": "bad key"}, AuthenticationError),
    ({"Response": {"Error": {"Code": "Odd", "Message": "no"}}}, InternalServerError),
    ({"success": False, "errors": [{"code": 7003, "message": "no route"}]}, InternalServerError),
    ({"detail": "not here"}, InternalServerError),
]


@pytest.mark.parametrize(("fields", "cls"), ENVELOPES)
@pytest.mark.parametrize("choices", [{}, {"choices": None}, {"choices": []}])
def test_a_vendors_own_error_says_why(fields, cls, choices):
    payload = {"id": "", "model": "", **choices, **fields}
    texts = ("rate limit bad key timeout no balance odd qps NOT_FOUND model no not here".split(),)
    for exchange in (
        answered("openai_chat", sse(payload)),
        answered("openai_chat", sse({"choices": []}, payload, done=True)),
        *([whole("openai_chat", payload)] if payload.get("choices") is None else []),
    ):
        assert type(exchange.error) is cls, exchange.error
        assert any(word in exchange.error.message for word in texts[0])


@pytest.mark.parametrize("wire", ["anthropic", "cohere", "openai_responses", "gemini", "ollama"])
def test_a_vendors_own_error_says_why_in_every_dialect(wire):
    payload = {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}
    kind = LINES if wire == "ollama" else EVENTS
    data = sse(payload)[6:] if wire == "ollama" else sse(payload)
    for exchange in (answered(wire, data, kind), whole(wire, payload)):
        assert type(exchange.error) is RateLimitError
        assert "rate limit" in exchange.error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
        {"code": 0, "message": "ok"},
        {"code": 200, "msg": "success", "success": True},
        {"message": "a note"},
    ],
)
def test_an_envelope_that_reports_no_error_is_none(fields):
    usage = {"choices": [], "usage": {"total_tokens": 3}, **fields}
    data = event(HEAD) + event(chunk(b"Hi")) + event(STOP) + sse(usage) + DONE
    assert completion_of(answered("openai_chat", data))["usage"] == {"total_tokens": 3}


# Half characters and numbers that JSON does not have

FACE = "\U0001f600"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([rb"a\udcafb"], "a\ufffdb"),
        ([b"a", rb"\udcaf", b"b"], "a\ufffdb"),
        ([b"a", rb"\ud83d", b"b"], "a\ufffdb"),
        ([b"a", rb"\ud83d"], "a\ufffd"),
        ([b"a", rb"\ud83d", rb"\ude00", b"b"], f"a{FACE}b"),
        ([rb"a\ud83d", rb"\ude00b"], f"a{FACE}b"),
        ([rb"a\uD83D", rb"\uDE00b"], f"a{FACE}b"),
        ([rb"\ud83d", rb"\ude00\ud83d", rb"\ude00"], FACE * 2),
        ([rb"\ud83d", rb"\ud83d", rb"\ude00"], f"\ufffd{FACE}"),
        ([rb"\ud83d\ude00", rb"\ud83d"], f"{FACE}\ufffd"),
        ([rb"\\ud83d", rb"\\ude00"], r"\ud83d\ude00"),
        ([rb"\ud83d", rb"x\ude00"], "\ufffdx\ufffd"),
        ([b"one", b"two", b"three", rb"\ud83d", rb"\ude00", b"four"], f"onetwothree{FACE}four"),
    ],
)
def test_half_characters_are_joined_or_replaced(texts, expected):
    assert content(body(*texts)) == expected


def test_half_characters_before_the_end_of_the_body_are_not_lost():
    exchange = answered("openai_chat", event(HEAD) + event(chunk(rb"a\ud83d")))
    assert type(exchange.error) is StreamTruncatedError
    assert exchange.completion()["choices"][0]["message"]["content"] == "a\ufffd"


def test_half_characters_are_joined_in_other_dialects():
    def gemini(text, reason=b""):
        return event(b'{"candidates":[{"content":{"parts":[{"text":"%s"}]}%s}]}' % (text, reason))

    stop = b',"finishReason":"STOP"'
    assert content(gemini(rb"a\ud83d") + gemini(rb"\ude00b", stop), "gemini") == f"a{FACE}b"

    def ollama(text, done=b"false"):
        return b'{"model":"m","message":{"content":"%s"},"done":%s}\n' % (text, done)

    lines = ollama(rb"a\ud83d") + ollama(rb"\ude00b") + ollama(b"", b"true")
    assert content(lines, "ollama", LINES) == f"a{FACE}b"


def test_half_characters_in_a_whole_answer_are_replaced():
    data = b'{"choices":[{"index":0,"message":{"content":"a\\udcafb"},"finish_reason":"stop"}]}'
    assert message_of(whole("openai_chat", data))["content"] == "a\ufffdb"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_json_does_not_have_is_null(number):
    logprobs = b'{"content":[{"token":"NaN","logprob":%s}]}' % number
    field = b'"logprobs":' + logprobs
    text = chunk(rb"Infinity \"NaN").replace(b"}]}", b"," + field + b"}]}")
    data = event(HEAD) + event(text)
    exchange = answered("openai_chat", data + event(STOP) + DONE)
    (choice,) = completion_of(exchange)["choices"]
    assert choice["message"]["content"] == 'Infinity "NaN'
    assert choice["logprobs"]["content"] == [{"token": "NaN", "logprob": None}]
    document = b'{"choices":[{"index":0,"message":{"content":"NaN"},"finish_reason":"stop",%s}]}'
    (choice,) = completion_of(whole("openai_chat", document % field))["choices"]
    assert choice["message"]["content"] == "NaN"
    assert choice["logprobs"]["content"] == [{"token": "NaN", "logprob": None}]


@pytest.mark.parametrize("data", [b'{"a": NaNa}', b'{"a": +Infinity}', b'{"choices": [NaN', b"{"])
def test_broken_json_stays_broken(data):
    assert isinstance(answered("openai_chat", event(HEAD) + event(data)).error, APIError)
    assert type(whole("openai_chat", data).error) is StreamTruncatedError


def test_a_byte_order_mark_before_an_answer_is_skipped():
    data = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    assert message_of(whole("openai_chat", b"\xef\xbb\xbf" + data))["content"] == "Hi"
    assert content(b"\xef\xbb\xbf" + body(b"Hi")) == "Hi"
