"""Streams of servers that keep to the format loosely: nothing of the answer is lost."""

from __future__ import annotations

import json

import pytest
from replay import answered, completion_of

from ritellm.chunks import stream_chunk_builder
from ritellm.errors import InternalServerError, RateLimitError, StreamTruncatedError

CHAT = "openai_chat"


def chat(delta, reason=None, **choice):
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason, **choice}]}


HEL, LO = chat({"content": "Hel"}), chat({"content": "lo"}, "stop")


def event(data, end=b"\n\n"):
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + end


def text_of(*events):
    return completion_of(answered(CHAT, b"".join(events)))["choices"][0]["message"]["content"]


@pytest.mark.parametrize("done", [b"[DONE] ", b'"[DONE]"', b"[done]", b"[DONE]\t", b" [DONE]"])
def test_a_terminator_may_be_spelled_loosely(done):
    assert text_of(event(HEL), event(done)) == "Hel"


LINES = [json.dumps(HEL).encode(), json.dumps(LO).encode()]


@pytest.mark.parametrize(
    "body",
    [
        b"".join(b"data: " + line + b"\n" for line in [*LINES, b"[DONE]"]),
        b"".join(b"data: " + line + b"\r\n" for line in [*LINES, b"[DONE]"]),
        b"".join(b"data: " + line + b"\n" for line in LINES) + b"\n" + event(b"[DONE]"),
        b"\n".join(LINES),
        b"\n".join([*LINES, b""]),
    ],
    ids=["no blank lines", "CRLF", "two in one event", "bare lines", "bare lines with an end"],
)
def test_events_without_blank_lines_between_them_are_told_apart(body):
    assert text_of(body) == "Hello"
    pieces = [body[at : at + 1] for at in range(len(body))]
    assert completion_of(answered(CHAT, pieces))["choices"][0]["finish_reason"] == "stop"


def test_an_event_of_many_lines_that_is_damaged_is_an_error():
    body = b"data: " + LINES[0] + b"\ndata: " + LINES[1][:-4] + b"\n\n" + event(b"[DONE]")
    assert answered(CHAT, body).error is not None


def test_a_byte_order_mark_before_any_event_is_none_of_its_name():
    mark = b"\xef\xbb\xbf"
    assert text_of(mark, event(HEL), mark, event(LO), mark, event(b"[DONE]")) == "Hello"


def test_control_characters_in_a_text_are_kept():
    raw = b'{"id":"c","choices":[{"index":0,"delta":{"content":"a\tb\x01\x1b\\n\\"\x08"}}]}'
    assert text_of(event(raw), event(LO)) == 'a\tb\x01\x1b\n"\x08lo'


@pytest.mark.parametrize("index", ["0", "7", 1e30, [0], {}, True, 3, -1])
def test_the_index_of_an_only_choice_may_be_anything(index):
    odd = {"choices": [{**HEL["choices"][0], "index": index}]}
    assert text_of(event(odd), event(LO)) == "Hello"


def test_the_index_of_one_of_several_choices_may_be_text():
    both = {"choices": [{**HEL["choices"][0], "index": index} for index in ("1", "0")]}
    ends = {"choices": [{"index": index, "finish_reason": "stop"} for index in (0, "1")]}
    found = completion_of(answered(CHAT, event(both) + event(ends), params={"n": 2}))
    assert [choice["index"] for choice in found["choices"]] == [0, 1]


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "text": "Hel"},
        {"text": "Hel", "delta": None},
        {"delta": {"content": ["H", "el"]}},
        {"delta": {"content": {"text": "Hel"}}},
        {"delta": {"content": [{"text": "Hel"}]}},
        {"message": {"content": "Hel"}},
    ],
    ids=str,
)
def test_text_in_another_place_is_content(choice):
    assert text_of(event({"choices": [choice]}), event(LO)) == "Hello"


def test_a_whole_answer_behind_its_pieces_is_not_more_text():
    end = {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert text_of(event(HEL), event(chat({"content": "lo"})), event(end)) == "Hello"
    assert text_of(event(chat({"role": "assistant"})), event(end)) == "Hello"


def test_a_message_that_grows_beside_the_deltas_is_not_more_text():
    """As Perplexity's chat sent it."""
    choices = [
        {"delta": {"role": "assistant", "content": ""}, "message": {"content": ""}},
        {"delta": {"content": "Hel"}, "message": {"content": "Hel"}},
        {"delta": {"content": "lo"}, "message": {"content": "Hello"}, "finish_reason": "stop"},
    ]
    found = completion_of(answered(CHAT, b"".join(event({"choices": [c]}) for c in choices)))
    assert found["choices"][0]["message"]["content"] == "Hello"
    assert text_of(event({"choices": [{"delta": {}, "message": {"content": "Hel"}}]}), event(LO))


def test_a_field_of_a_choice_cannot_replace_the_message():
    chunks = [{"choices": [{"index": 0, "delta": {"content": "Hi"}, "message": {"content": "x"}}]}]
    assert stream_chunk_builder(chunks)["choices"][0]["message"]["content"] == "Hi"


def test_a_usage_that_a_choice_has_is_the_usage():
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    found = completion_of(answered(CHAT, event(HEL) + event(chat({}, "stop", usage=usage))))
    assert found["usage"] == usage
    assert "usage" not in found["choices"][0]


@pytest.mark.parametrize("reason", [["stop"], {"reason": "stop"}, 5, True])
def test_an_odd_finish_reason_ends_the_answer(reason):
    found = completion_of(answered(CHAT, event(chat({"content": "Hello"}, reason))))
    assert found["choices"][0]["message"]["content"] == "Hello"
    assert isinstance(found["choices"][0]["finish_reason"], str)


@pytest.mark.parametrize("reason", [{}, [], False, 0])
def test_an_odd_finish_reason_that_is_empty_is_none(reason):
    assert answered(CHAT, event(chat({"content": "Hello"}, reason))).error is not None
    assert text_of(event(chat({"content": "Hel"}, reason)), event(LO)) == "Hello"


def test_a_blank_line_more_than_needed_is_no_event():
    for blank in range(2, 7):
        body = [
            event(HEL, b"\n" * blank),
            event(LO, b"\n" * blank),
            event(b"[DONE]", b"\n" * blank),
        ]
        assert text_of(*body) == "Hello"
        assert completion_of(answered(CHAT, body)).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("wire", ["openai_chat", "anthropic", "openai_responses", "cohere"])
def test_an_error_event_may_be_plain_text(wire):
    exchange = answered(wire, b"event: error\ndata: too many requests\n\n")
    assert isinstance(exchange.error, InternalServerError)
    assert "too many requests" in str(exchange.error)


def test_the_first_of_several_errors_is_raised():
    error = answered(CHAT, event({"error": [{"message": "slow down", "code": 429}]})).error
    assert isinstance(error, RateLimitError)
    assert "slow down" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>502 Bad Gateway</body></html>",
        b"upstream connect error or disconnect",
        "data: {}".encode("utf-16"),
    ],
)
def test_a_stream_without_an_event_shows_how_it_began(body):
    error = answered(CHAT, [body[:3], body[3:]]).error
    assert isinstance(error, StreamTruncatedError)
    assert repr(body)[:40] in str(error)


# --- Other dialects -------------------------------------------------------------------------------

GEMINI = [
    {"candidates": [{"content": {"parts": [{"text": "Hel"}]}, "index": 0}]},
    {"candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "STOP"}]},
]
LINES_OF_OLLAMA = [
    {"model": "m", "message": {"content": "Hel"}, "done": False},
    {"model": "m", "message": {"content": "lo"}, "done": True, "done_reason": "stop"},
]
WHOLE = {
    "id": "r",
    "status": "completed",
    "output": [
        {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ],
}


def said(wire, body, kind="text/event-stream"):
    return completion_of(answered(wire, body, kind))["choices"][0]["message"]


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
@pytest.mark.parametrize("indent", [None, 1])
def test_gemini_may_answer_a_list_of_its_events(kind, indent):
    body = json.dumps(GEMINI, indent=indent).encode()
    assert said("gemini", body, kind)["content"] == "Hello"


@pytest.mark.parametrize("index", ["0", None, 0.5, [0]])
def test_the_index_of_geminis_candidate_may_be_anything(index):
    odd = {"candidates": [{**GEMINI[1]["candidates"][0], "index": index}]}
    assert said("gemini", event(odd))["content"] == "lo"


def test_geminis_arguments_that_are_text_are_not_encoded_twice():
    call = {"functionCall": {"name": "f", "args": '{"a":1}'}}
    odd = {"candidates": [{"content": {"parts": [call]}, "finishReason": "STOP"}]}
    assert said("gemini", event(odd))["tool_calls"][0]["function"]["arguments"] == '{"a":1}'


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json", "text/plain", ""])
def test_the_lines_of_ollama_may_have_any_label(kind):
    body = b"\n".join(json.dumps(line).encode() for line in LINES_OF_OLLAMA)
    assert said("ollama", body, kind)["content"] == "Hello"
    whole = {**LINES_OF_OLLAMA[1], "message": {"content": "Hello"}}
    assert said("ollama", json.dumps(whole, indent=1).encode(), kind)["content"] == "Hello"


def test_an_ollama_that_generates_has_its_text_in_another_field():
    lines = [{"model": "m", "response": text, "done": text == "lo"} for text in ("Hel", "lo")]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    assert said("ollama", body, "application/x-ndjson")["content"] == "Hello"


@pytest.mark.parametrize("before", [[], [{"type": "response.created", "response": {"id": "r"}}]])
def test_an_output_that_only_the_last_event_has_is_the_answer(before):
    events = [*before, {"type": "response.completed", "response": WHOLE}]
    message = said("openai_responses", b"".join(map(event, events)))
    assert message["content"] == "Hello"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["f"]
