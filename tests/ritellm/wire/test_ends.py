"""When an answer is whole, by its bytes: a mark of the end that is none must not pass for one."""

from __future__ import annotations

import pytest
from dialect_samples import frame
from replay import answered, completion_of, exchange_with, sse, whole

from ritellm.errors import StreamTruncatedError
from ritellm.types import Buffer

BLANKS = ["", " ", "null", "FINISH_REASON_UNSPECIFIED", None]
BINARY = "application/vnd.amazon.eventstream"
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def chat(delta, reason=None, index=0):
    return {"id": "c1", "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def gemini(text, reason):
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}]}


def anthropic(*events):
    start = {"type": "message_start", "message": {"id": "m", "content": [], "usage": {}}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    text = {"type": "text_delta", "text": "Hel"}
    return sse(start, block, {"type": "content_block_delta", "index": 0, "delta": text}, *events)


def bedrock(*events):
    text = ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}})
    return b"".join(frame(*event) for event in (("messageStart", {}), text, *events))


STOP = ("messageStop", {"stopReason": "end_turn"})
METADATA = ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2}})


def cut_off(exchange, content):
    assert isinstance(exchange.error, StreamTruncatedError)
    assert exchange.completion()["choices"][0]["message"]["content"] == content
    assert exchange.completion()["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_finish_reason_is_not_an_end(blank):
    delta = {"type": "message_delta", "delta": {"stop_reason": blank}}
    pieces = [chat({"content": "Hel"}, blank), chat({"content": "lo"}, blank)]
    cut_off(answered("openai_chat", sse(*pieces)), "Hello")
    cut_off(answered("gemini", sse(gemini("Hel", blank), gemini("lo", blank))), "Hello")
    cut_off(answered("anthropic", anthropic(delta)), "Hel")
    cut_off(answered("bedrock", bedrock(("messageStop", {"stopReason": blank})), BINARY), "Hel")


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_finish_reason_after_another_one_changes_nothing(blank):
    usage = {**chat({}, blank), "usage": {"prompt_tokens": 1}}
    body = sse(chat({"content": "Hi"}, blank), chat({}, "length"), usage, done=True)
    assert completion_of(answered("openai_chat", body))["choices"][0]["finish_reason"] == "length"
    body = sse(gemini("Hi", "STOP"), gemini("", blank))
    assert completion_of(answered("gemini", body))["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("blank", BLANKS)
def test_the_terminator_ends_an_answer_with_a_blank_finish_reason(blank):
    exchanges = [
        answered("openai_chat", sse(chat({"content": "Hi"}, blank), done=True)),
        answered("anthropic", anthropic({"type": "message_stop"})),
        answered("bedrock", bedrock(("messageStop", {"stopReason": blank}), METADATA), BINARY),
    ]
    for exchange in exchanges:
        assert completion_of(exchange)["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize("buffer", [Buffer(), Buffer(chunks=2), Buffer(seconds=9.0)], ids=repr)
@pytest.mark.parametrize("more", [{"content": "lo"}, {"tool_calls": [CALL]}], ids=["text", "call"])
@pytest.mark.parametrize("last", ["stop", None])
def test_only_the_terminator_ends_an_answer_whose_text_followed_an_end(buffer, more, last):
    body = sse(chat({"role": "assistant", "content": "Hel"}, "stop"), chat(more, last))
    exchange = answered("openai_chat", body, buffer=buffer)
    assert isinstance(exchange.error, StreamTruncatedError)
    completion_of(answered("openai_chat", body + sse(done=True), buffer=buffer))


@pytest.mark.parametrize("buffer", [Buffer(), Buffer(chunks=9)], ids=repr)
@pytest.mark.parametrize("after", [{}, {"content": ""}, {"role": "assistant", "content": None}])
def test_an_answer_without_a_terminator_is_whole_if_nothing_was_written_after_its_end(
    buffer, after
):
    events = [chat({"content": "Hi"}), chat({}, "stop"), *[chat(after)] * 9]
    assert completion_of(answered("openai_chat", sse(*events), buffer=buffer))


def test_repeated_text_after_an_end_counts_too():
    events = [chat({"content": letter}) for letter in "Hello"]
    body = sse(*events, chat({}, "stop"), *events)
    assert isinstance(answered("openai_chat", body).error, StreamTruncatedError)


def test_a_dialect_without_a_terminator_believes_the_last_finish_reason():
    each = [gemini("Hel", "STOP"), gemini("lo", "STOP")]
    assert completion_of(answered("gemini", sse(*each)))["choices"][0]["finish_reason"] == "stop"
    body = sse(gemini("Hel", "STOP"), gemini("lo", None))
    assert isinstance(answered("gemini", body).error, StreamTruncatedError)


def test_every_requested_choice_must_end():
    both = [chat({"content": "a"}, "stop", 0), chat({"content": "b"}, None, 1)]
    exchange = answered("openai_chat", sse(*both), params={"n": 2})
    assert isinstance(exchange.error, StreamTruncatedError)


@pytest.mark.parametrize(
    "delta", [{}, {"role": "assistant"}, {"role": "assistant", "content": ""}, {"content": None}]
)
def test_an_answer_with_nothing_in_it_and_no_reason_is_an_error(delta):
    exchange = answered("openai_chat", sse(chat(delta), done=True))
    assert isinstance(exchange.error, StreamTruncatedError)
    assert "empty" in str(exchange.error)
    body = {"choices": [{"index": 0, "message": delta, "finish_reason": None}]}
    assert isinstance(whole("openai_chat", body).error, StreamTruncatedError)


def test_an_empty_answer_with_a_reason_is_whole():
    body = sse(chat({"role": "assistant", "content": ""}, "stop"), done=True)
    assert completion_of(answered("openai_chat", body))["choices"][0]["finish_reason"] == "stop"


def test_bedrocks_metadata_is_not_the_end():
    cut_off(answered("bedrock", bedrock(METADATA), BINARY), "Hel")


@pytest.mark.parametrize("events", [(METADATA, STOP), (STOP, METADATA)])
def test_bedrocks_stop_and_metadata_come_in_either_order(events):
    completion = completion_of(answered("bedrock", bedrock(*events), BINARY))
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert completion["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("order", [1, -1])
def test_a_broken_stop_of_bedrocks_is_raised_after_the_usage(order):
    events = [METADATA, ("messageStop", {"stopReason": "malformed_tool_use"})][::order]
    exchange = answered("bedrock", bedrock(*events), BINARY)
    assert exchange.error is not None
    assert exchange.error.code == "malformed_tool_use"
    assert exchange.sum.usage is not None


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("openai_chat", {"eos": "stop", "end_turn": "stop", "STOP": "stop", "weird": "weird"}),
        (
            "openai_chat",
            {"max_tokens": "length", "model_length": "length", "tool_use": "tool_calls"},
        ),
        ("openai_chat", {"sensitive": "content_filter", "function_call": "function_call"}),
        ("gemini", {"FUNCTION_CALL": "tool_calls", "OTHER": "OTHER"}),
    ],
)
def test_known_words_become_openais_and_unknown_ones_pass(wire, words):
    for theirs, ours in words.items():
        body = sse(
            gemini("Hi", theirs) if wire == "gemini" else chat({"content": "Hi"}, theirs),
            done=wire != "gemini",
        )
        assert completion_of(answered(wire, body))["choices"][0]["finish_reason"] == ours


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "network_error"])
def test_a_finish_reason_that_means_a_failure_is_an_error(reason):
    exchange = answered("openai_chat", sse(chat({"content": "Hi"}, reason), done=True))
    assert exchange.error is not None
    assert reason in str(exchange.error)


def test_an_incomplete_response_without_details_reached_the_limit():
    body = {"id": "r", "status": "incomplete", "output": [], "incomplete_details": None}
    assert completion_of(whole("openai_responses", body))["choices"][0]["finish_reason"] == "length"


def test_calls_end_an_answer_with_tool_calls_in_every_dialect():
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    message = {"role": "assistant", "content": [tool], "stop_reason": "end_turn", "usage": {}}
    bedrock_call = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
    output = {"message": {"role": "assistant", "content": [bedrock_call]}}
    cohere_call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    exchanges = [
        answered("openai_chat", sse(chat({"tool_calls": [CALL]}), chat({}, "stop"), done=True)),
        answered(
            "openai_chat",
            sse(chat({"tool_calls": [CALL]}), chat({}, "tool_calls"), chat({}, "stop"), done=True),
        ),
        whole("anthropic", message),
        whole("bedrock", {"output": output, "stopReason": "end_turn", "usage": {}}),
        whole(
            "cohere",
            {"id": "x", "finish_reason": "COMPLETE", "message": {"tool_calls": [cohere_call]}},
        ),
    ]
    for exchange in exchanges:
        assert completion_of(exchange)["choices"][0]["finish_reason"] == "tool_calls"


def test_a_limit_is_the_reason_even_after_calls():
    body = sse(chat({"tool_calls": [CALL]}), chat({}, "length"), done=True)
    assert completion_of(answered("openai_chat", body))["choices"][0]["finish_reason"] == "length"


def test_an_index_that_counts_chunks_is_one_choice():
    words = ["Hel", "lo ", "there"]
    events = [chat({"content": word}, None, index) for index, word in enumerate(words)]
    body = sse(*events, chat({}, "stop", 3), done=True)
    (choice,) = completion_of(answered("openai_chat", body))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello there", "stop")
    exchange = answered("openai_chat", body, params={"n": 4})
    assert len(exchange.completion()["choices"]) == 4
    exchange = answered("openai_chat", body, extra_body={"n": 4})
    assert len(exchange.completion()["choices"]) == 4


def test_the_chunks_that_a_caller_sees_have_no_blank_finish_reason():
    exchange = exchange_with("openai_chat")
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    chunks = exchange.receive_data(sse(*[chat({"content": "a"}, "")] * 9, chat({}, "stop")))
    assert {each["choices"][0]["finish_reason"] for each in chunks} == {None, "stop"}
