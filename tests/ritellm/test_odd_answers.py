"""No value of an answer raises anything but a RitellmError, in any dialect, streamed or whole.

Each value of a rich answer is replaced by values of other types. The result is a completion, in
which the odd value is kept or ignored, or a RitellmError.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import orjson
import pytest
from odd_values import as_json, frames, variants
from replay import answered, exchange_with
from rich_answers import ANSWERS, CHAT_STREAM, CHAT_USAGE, CHAT_WHOLE, ERRORS

from ritellm.chunks import stream_chunk_builder
from ritellm.chunks.usage import counts_in
from ritellm.errors import RitellmError
from ritellm.prices import cost
from ritellm.wire.errors.google import decode_error

EVERY = pytest.mark.parametrize("wire", ANSWERS)


def read(answer: Any) -> None:
    """Read an answer as a caller does; raises what the caller would see."""
    exchange = answer()
    exchange.attach_partial()
    error = exchange.error
    if error is not None:
        assert isinstance(error, RitellmError)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    for completion in (exchange.completion(), error and error.partial):
        if completion is not None:
            cost("openai/gpt-4o", completion.get("usage"))
            assert isinstance(completion.choices, list)
    exchange.discarded()


def crashes(answers: Any) -> list[str]:
    """Return the names of the answers whose reading raises anything."""
    found = []
    for name, answer in answers:
        try:
            read(answer)
        except Exception as error:
            found.append(f"{name}: {error!r:.200}")
    return found


@EVERY
def test_no_value_of_a_streamed_answer_escapes_as_another_error(wire):
    payloads, framing, kind, _ = ANSWERS[wire]

    def answers():
        for at, payload in enumerate(payloads):
            event, document = payload if framing is frames else (None, payload)
            for name, odd in variants(document):
                put = (event, odd) if framing is frames else odd
                data = framing([*payloads[:at], put, *payloads[at + 1 :]])
                yield f"event {at}: {name}", partial(answered, wire, data, kind)

    assert crashes(answers()) == []


@EVERY
def test_no_value_of_a_whole_answer_escapes_as_another_error(wire):
    *_, whole = ANSWERS[wire]
    answers = (
        (name, partial(answered, wire, as_json(odd), "application/json", stream=False))
        for name, odd in variants(whole)
    )
    assert crashes(answers) == []


@EVERY
@pytest.mark.parametrize("status", [200, 429])
def test_no_value_of_an_error_body_escapes_as_another_error(wire, status):
    answers = (
        (name, partial(answered, wire, as_json(odd), "application/json", status, stream=False))
        for name, odd in variants(ERRORS[wire])
    )
    assert crashes(answers) == []


@EVERY
def test_no_value_of_an_error_inside_a_stream_escapes_as_another_error(wire):
    payloads, framing, kind, _ = ANSWERS[wire]

    def answers():
        for name, odd in variants(ERRORS[wire]):
            put = ("exception:throttlingException", odd) if framing is frames else odd
            yield name, partial(answered, wire, framing([payloads[0], put]), kind)

    assert crashes(answers()) == []


@pytest.mark.parametrize("usage", ["odd", ["odd"], True, 7])
def test_a_usage_that_is_not_an_object_counts_as_missing(usage):
    body = as_json({**CHAT_WHOLE, "usage": usage})
    exchange = answered("openai_chat", body, "application/json", stream=False)
    completion = exchange.completion()
    assert exchange.error is None
    assert (completion.usage, completion.usage_source) == (None, "missing")


@EVERY
def test_a_body_that_is_no_json_escapes_as_no_other_error(wire):
    *_, whole = ANSWERS[wire]
    for body in (as_json({**whole, "odd": float("nan")}), b"[" * 100_000, b"-" * 100_000):
        read(partial(answered, wire, body, "application/json", stream=False))


@EVERY
@pytest.mark.parametrize("odd", ["odd", ["odd"], True, -1, 0.5, 1e308])
def test_an_odd_count_of_tokens_leaves_the_answer_whole_and_its_cost_unknown(wire, odd):
    payloads, framing, kind, _ = ANSWERS[wire]
    numbers = b'"output_tokens": 7', b'"candidatesTokenCount": 5', b'"outputTokens": 7'
    numbers += b'"completion_tokens": 7', b'"eval_count": 7'
    text = [as_json(payload) for payload in payloads]
    for number in numbers:
        name = number.partition(b":")[0] + b": "
        text = [each.replace(number, name + orjson.dumps(odd)) for each in text]
    exchange = answered(wire, framing([orjson.loads(each) for each in text]), kind)
    assert exchange.error is None
    assert exchange.complete
    assert cost("openai/gpt-4o", exchange.completion().usage) is None


def test_counts_of_tokens_are_whole_numbers_from_zero_and_details_are_objects():
    odd = {
        "prompt_tokens": "9",
        "completion_tokens": 7.0,
        "total_tokens": -1,
        "prompt_tokens_details": ["odd"],
        "completion_tokens_details": {"reasoning_tokens": True, "audio_tokens": 1},
        "promptTokensDetails": ["odd", {"modality": "AUDIO", "tokenCount": 2}],
        "service_tier": "flex",
    }
    assert counts_in(odd) == {
        "completion_tokens": 7,
        "completion_tokens_details": {"audio_tokens": 1},
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
        "service_tier": "flex",
    }
    assert counts_in(CHAT_USAGE) == CHAT_USAGE
    assert counts_in("odd") == {}


def test_the_chunks_before_an_odd_one_are_delivered():
    odd = {"choices": [{"index": 0, "delta": {}}, {"index": ["odd"], "delta": {}}]}
    data = b"".join(b"data: " + as_json(each) + b"\n\n" for each in (CHAT_STREAM[1], odd))
    exchange = exchange_with("openai_chat")
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    chunks = exchange.receive_data(data)
    assert stream_chunk_builder(chunks).choices[0].message.content == "Hi"
    assert "the index of a choice must be a number, got ['odd']" in str(exchange.error)


@pytest.mark.parametrize("delay", ["-5s", "nans", "infs", "-1", "nan", "inf", "-inf", "s", 5, None])
def test_a_retry_delay_of_google_that_makes_no_sense_is_ignored(delay):
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [info]}}
    error = decode_error(429, orjson.dumps(body), {})
    assert error.retry_after in (None, 5)


@pytest.mark.parametrize("after", ["-5", "nan", "-inf", "inf", "1e400", "٣", "odd"])
def test_a_retry_after_that_makes_no_sense_is_ignored(after):
    exchange = answered("openai_chat", b"{}", "application/json", 429, {"retry-after": after})
    assert exchange.error.retry_after in (None, 3)
