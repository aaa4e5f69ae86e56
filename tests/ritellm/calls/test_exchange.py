"""One attempt as a state machine, on OpenAI's chat dialect: whole, or an error that says why."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from fake_server import SPRINKLES, chat_chunk, chat_events, error_event, sse
from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm.calls.exchange import Exchange
from ritellm.chunks import stream_chunk_builder
from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import (
    APIConnectionError,
    APIResponseValidationError,
    BadRequestError,
    InternalServerError,
    RateLimitError,
    StreamTruncatedError,
    Timeout,
    UnprocessableEntityError,
)
from ritellm.types import Request

DONE = sse("[DONE]")
ENDPOINT = Endpoint(Provider("openai", "openai_chat"), "http://127.0.0.1/v1", "sk-1")


def exchange(status=200, content_type="text/event-stream", attempt=1, stream=True, **params):
    """Return an exchange whose response has begun."""
    request = Request("m", [{"role": "user", "content": "hi"}], params=params, stream=stream)
    begun = Exchange(request, ENDPOINT, attempt)
    begun.receive_response(status, {"content-type": content_type})
    return begun


def received(*pieces, **options):
    """Return an exchange and its chunks after these pieces and the end of the body."""
    attempt = exchange(**options)
    chunks = [chunk for piece in pieces for chunk in attempt.receive_data(piece)]
    chunks += attempt.receive_eof()
    assert attempt.complete is (attempt.error is None)
    return attempt, chunks


def failed(*pieces, **options):
    """Return the error that the face would raise, with what came before."""
    attempt, _ = received(*pieces, **options)
    assert attempt.error is not None
    attempt.attach_partial()
    return attempt.error


def text(completion):
    return completion["choices"][0]["message"]["content"]


def one_by_one(data):
    return [data[at : at + 1] for at in range(len(data))]


# Complete or an error

EVENTS = chat_events("one two")  # head, "one ", "two", finish, usage, [DONE]
FINISHED = 4  # so many events are an answer


def test_a_whole_stream_is_its_chunks():
    attempt, chunks = received(*EVENTS)
    assert attempt.complete
    assert attempt.done
    sent = [orjson.loads(event[6:]) for event in EVENTS[:-1]]
    for choice in (choice for chunk in sent for choice in chunk["choices"]):
        choice["delta"].setdefault("content", None)
    assert sent == chunks
    assert [(chunk.attempt, chunk.seq) for chunk in chunks] == [(1, n) for n in range(5)]
    assert attempt.completion() == stream_chunk_builder(chunks)
    assert text(attempt.completion()) == "one two"
    assert attempt.completion()["usage"]["completion_tokens"] == 2


def test_chunks_are_numbered_within_their_attempt():
    _, chunks = received(*EVENTS, attempt=3)
    assert [(chunk.attempt, chunk.seq) for chunk in chunks] == [(3, n) for n in range(5)]


@pytest.mark.parametrize("count", range(len(EVENTS) + 1))
def test_a_stream_that_ends_before_its_finish_is_an_error_with_the_partial_completion(count):
    attempt, chunks = received(*EVENTS[:count])
    assert len(chunks) == min(count, 5)
    if count >= FINISHED:
        assert attempt.error is None
        return
    attempt.attach_partial()
    error = attempt.error
    assert type(error) is StreamTruncatedError
    assert error.retryable
    assert error.partial == (stream_chunk_builder(chunks) if chunks else None)


@pytest.mark.parametrize("count", range(len(EVENTS) + 1))
@pytest.mark.parametrize("failure", [APIConnectionError("reset"), Timeout("slow")])
def test_a_broken_connection_is_an_error_unless_the_answer_was_whole(count, failure):
    attempt = exchange()
    for event in EVENTS[:count]:
        attempt.receive_data(event)
    attempt.receive_failure(failure)
    assert attempt.error is (None if count >= FINISHED else failure)
    assert attempt.complete is (count >= FINISHED)


def test_a_stream_cut_at_any_byte_is_the_whole_answer_or_an_error():
    data = b"".join(EVENTS)
    finish = len(b"".join(EVENTS[:FINISHED])) - len(b"\n\n")  # the JSON is whole there
    boundaries = [len(b"".join(EVENTS[:n])) for n in range(len(EVENTS) + 1)]
    for at in range(len(data)):
        attempt, chunks = received(data[:at])
        whole = sum(at >= end - len(b"\n\n") for end in boundaries[1:-1])
        assert len(chunks) == whole, f"cut at {at}"
        if at >= finish:
            assert attempt.error is None, f"cut at {at}"
            assert text(attempt.completion()) == "one two"
        else:
            assert type(attempt.error) is StreamTruncatedError, f"cut at {at}"


NOISY = chat_events("é\N{GRINNING FACE} one", sprinkle=SPRINKLES, newline="\r\n")


@pytest.mark.parametrize("events", [EVENTS, NOISY])
def test_the_chunks_do_not_depend_on_where_the_bytes_are_cut(events):
    data = b"".join(events)
    whole, chunks = received(data)
    assert whole.error is None
    for at in range(len(data)):
        assert received(data[:at], data[at:])[1] == chunks
    bytewise, single = received(*one_by_one(data))
    assert single == chunks
    assert [chunk.seq for chunk in single] == [chunk.seq for chunk in chunks]
    assert bytewise.completion() == whole.completion()


def test_a_terminator_without_a_finish_reason_is_enough():
    # Ollama's compatible layer may leave it out.
    attempt, _ = received(*chat_events("one two", finish_reason=None))
    assert attempt.error is None
    assert attempt.completion().choices[0].finish_reason is None
    assert text(attempt.completion()) == "one two"


def test_a_finish_reason_without_a_terminator_is_enough():
    attempt, _ = received(*chat_events("one two", done=False))
    assert attempt.error is None
    assert not attempt.done
    assert attempt.completion().choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "events",
    [
        [],
        [DONE],
        [b": ping\n\n"],
        [b"event: ping\n\n", b"data:\n\n", DONE],
        [sse({"choices": [], "id": "", "prompt_filter_results": []}), DONE],
        [sse({"choices": [], "usage": {"total_tokens": 1}})],
        [sse({}), DONE],
    ],
    ids=["nothing", "DONE", "a comment", "pings, DONE", "Azure's head, DONE", "usage", "{}, DONE"],
)
def test_a_stream_without_a_choice_is_an_error(events):
    error = failed(*events)
    assert type(error) is StreamTruncatedError
    assert error.retryable


@pytest.mark.parametrize("ending", [DONE, DONE[:-1], DONE[:-2], b"data:[DONE]"])
def test_the_terminator_may_lack_its_blank_line(ending):
    attempt, chunks = received(*chat_events("one", finish_reason=None, done=False), ending)
    assert attempt.error is None
    assert attempt.done
    assert text(stream_chunk_builder(chunks)) == "one"


def test_half_a_json_at_the_end_is_not_content():
    half = sse(chat_chunk({"content": " three"}))[:-20]
    cut = failed(*EVENTS[:3], half)
    assert type(cut) is StreamTruncatedError
    assert text(cut.partial) == "one two"
    whole, _ = received(*EVENTS[:FINISHED], half)
    assert whole.error is None
    assert text(whole.completion()) == "one two"


def test_events_after_the_terminator_are_not_read():
    tail = sse(chat_chunk({"content": "?"})) + error_event() + b"data: {broken\n\n"
    data = b"".join(EVENTS)
    for pieces in ([data + tail], [data, tail], one_by_one(data + tail)):
        attempt, chunks = received(*pieces)
        assert attempt.error is None
        assert text(stream_chunk_builder(chunks)) == "one two"


# More than one choice

PAIR = chat_events("a", choices=2)  # heads, texts, finishes of 0 and 1, then usage, [DONE]


@pytest.mark.parametrize("count", range(len(PAIR) + 1))
def test_every_choice_must_finish(count):
    attempt, _ = received(*PAIR[:count], n=2)
    assert (attempt.error is None) is (count >= 6)


@pytest.mark.parametrize("n", [2, 3])
def test_every_requested_choice_must_arrive(n):
    assert type(failed(*chat_events("a", choices=n - 1, done=False), n=n)) is StreamTruncatedError
    assert received(*chat_events("a", choices=n, done=False), n=n)[0].complete
    # The provider may give fewer, if it says so.
    assert received(*chat_events("a", choices=n - 1), n=n)[0].complete


def test_an_extra_choice_must_finish_too():
    unfinished = sse(chat_chunk({"content": "b"}, index=1))
    assert type(failed(*EVENTS[:4], unfinished)) is StreamTruncatedError


@pytest.mark.parametrize("n", [None, "two", 0, -1])
def test_an_invalid_n_is_left_to_the_provider_to_refuse(n):
    assert received(*EVENTS[:4], n=n)[0].complete


# Errors inside a stream

ERROR = error_event("server_error", message="engine died")


@pytest.mark.parametrize("before", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("after", [[], [DONE], [EVENTS[2], DONE]])
def test_an_error_outranks_a_finish_and_a_terminator(before, after):
    pieces = [*EVENTS[:before], ERROR, *after]
    data = b"".join(pieces)
    for cut in (pieces, [data], one_by_one(data)):
        attempt, chunks = received(*cut)
        attempt.attach_partial()
        assert type(attempt.error) is InternalServerError
        assert attempt.error.message == "engine died"
        assert attempt.error.partial == stream_chunk_builder(chunks)
        assert len(chunks) == before


@pytest.mark.parametrize(
    "event",
    [
        error_event("rate_limit_error", "rate_limit_exceeded"),
        error_event("rate_limit_error", event="error"),  # Groq
        sse({"message": "slow down", "type": "rate_limit_error"}, event="error"),
        sse({"object": "error", "message": "slow down", "code": 429}),  # old vLLM
        b'error: {"message":"slow down","code":429}\n\n',  # llama.cpp until September 2025
        sse({"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 429}}]}),
    ],
)
def test_an_error_is_seen_wherever_the_server_puts_it(event):
    error = failed(EVENTS[0], EVENTS[1], event, DONE)
    assert type(error) is RateLimitError
    assert text(error.partial) == "one "


@pytest.mark.parametrize("reason", ["abort", "error"])
@pytest.mark.parametrize("after", [[], [DONE]])
def test_a_finish_reason_that_means_failure_is_an_error(reason, after):
    error = failed(*EVENTS[:3], sse(chat_chunk({}, finish_reason=reason)), *after)
    assert type(error) is InternalServerError
    assert error.retryable
    assert repr(reason) in error.message
    assert text(error.partial) == "one two"


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls", "repetition"])
def test_any_other_finish_reason_passes_unchanged(reason):
    attempt, _ = received(*EVENTS[:3], sse(chat_chunk({}, finish_reason=reason)))
    assert attempt.error is None
    assert attempt.completion().choices[0].finish_reason == reason


def test_openrouters_error_after_the_finish_keeps_the_usage():
    late = chat_chunk({"content": ""}, error={"code": 400, "message": "Token limit reached"})
    late["usage"] = {"total_tokens": 53, "cost": 0}
    finish = sse(chat_chunk({}, finish_reason="length"))
    error = failed(*EVENTS[:3], finish, sse(late), DONE)
    assert type(error) is BadRequestError
    assert error.message == "Token limit reached"
    assert not error.retryable
    assert text(error.partial) == "one two"
    assert error.partial.choices[0].finish_reason == "length"
    assert error.partial.usage == {"total_tokens": 53, "cost": 0}


def test_nothing_changes_after_an_error():
    attempt, _ = received(*EVENTS[:3], ERROR)
    error = attempt.error
    assert attempt.receive_data(b"".join(EVENTS)) == []
    assert attempt.receive_eof() == []
    attempt.receive_failure(Timeout("slow"))
    assert attempt.error is error
    assert not attempt.complete


# What is not a stream

COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 17,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "one two",
                "reasoning": "hm",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
                ],
            },
            "finish_reason": "tool_calls",
            "logprobs": None,
        }
    ],
    "usage": {"total_tokens": 3},
    "x_new": 1,
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_answer_is_accepted_with_and_without_a_stream(stream, content_type):
    data = orjson.dumps(COMPLETION)
    attempt, chunks = received(*one_by_one(data), content_type=content_type, stream=stream)
    assert attempt.error is None
    [chunk] = chunks
    assert chunk["object"] == "chat.completion.chunk"
    assert chunk.choices[0].delta.content == "one two"
    assert chunk.choices[0].delta.reasoning_content == "hm"
    assert (chunk.attempt, chunk.seq) == (1, 0)
    message = dict(COMPLETION["choices"][0]["message"])
    message["reasoning_content"] = message.pop("reasoning")
    choice = COMPLETION["choices"][0] | {"message": message}
    assert attempt.completion() == COMPLETION | {"choices": [choice], "usage_source": "provider"}


def test_a_stream_is_taken_as_the_answer_to_a_request_for_json():
    attempt, _ = received(*EVENTS, stream=False)
    assert attempt.error is None
    assert text(attempt.completion()) == "one two"


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream"])
def test_a_stream_may_be_mislabelled(content_type):
    attempt, _ = received(*EVENTS, content_type=content_type)
    assert attempt.error is None
    assert text(attempt.completion()) == "one two"


@pytest.mark.parametrize("stream", [True, False])
def test_a_stream_may_even_be_called_json(stream):
    for blank in (b"", b"\r\n", b"\xef\xbb\xbf"):
        events = [blank[i : i + 1] for i in range(len(blank))] + EVENTS
        attempt, _ = received(*events, content_type="application/json", stream=stream)
        assert attempt.error is None
        assert text(attempt.completion()) == "one two"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("content_type", ["", "text/plain", "text/json", "binary/octet-stream"])
def test_a_json_answer_may_be_mislabelled(stream, content_type):
    data = b"\n " + orjson.dumps(COMPLETION)
    attempt, _ = received(*one_by_one(data), content_type=content_type, stream=stream)
    assert attempt.error is None
    assert text(attempt.completion()) == "one two"
    broken = orjson.dumps({"error": {"message": "busy", "code": "rate_limit_exceeded"}})
    assert type(failed(broken, content_type=content_type, stream=stream)) is RateLimitError


def test_plain_text_under_a_200_is_not_an_answer():
    error = failed(b"upstream is away", content_type="text/plain")
    assert type(error) is StreamTruncatedError


def test_a_null_in_a_json_answer_counts_as_absent():
    names = "content tool_calls function_call refusal audio annotations reasoning".split()
    message = {"role": "assistant", **dict.fromkeys(names)}
    choice = {"index": None, "message": message, "logprobs": None, "finish_reason": "stop"}
    nothing = dict.fromkeys(["id", "created", "model", "usage", "system_fingerprint"])
    for each in (choice, choice | {"message": None}):
        body = orjson.dumps({**nothing, "choices": [each]})
        attempt, _ = received(body, content_type="application/json", stream=False)
        assert attempt.error is None
        answer = attempt.completion()
        assert answer["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ]
        assert (answer.usage, answer.usage_source, answer.id) == (None, "missing", None)
        assert answer.choices[0].message.tool_calls is None


def test_a_json_answer_without_a_finish_reason_is_whole():
    body = {"choices": [{"message": {"content": "hi"}, "finish_reason": None}]}
    attempt, _ = received(orjson.dumps(body), content_type="application/json", stream=False)
    assert attempt.complete
    assert attempt.completion().choices[0].finish_reason is None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("body", "cls", "says"),
    [
        ({"error": {"message": "busy", "code": "rate_limit_exceeded"}}, RateLimitError, "busy"),
        ({"error": "too long", "error_type": "validation"}, UnprocessableEntityError, "too long"),
        ({"object": "error", "message": "m", "code": 400}, BadRequestError, "m"),
        (
            {"id": "c1", "output": []},
            APIResponseValidationError,
            "must have a list of choices, got the fields id, out",
        ),
        ({"choices": None}, APIResponseValidationError, "must have a list of choices"),
        ({"choices": []}, StreamTruncatedError, "empty"),
        ({"choices": [None]}, APIResponseValidationError, "shape"),
        ({"choices": [{"message": "hi"}]}, APIResponseValidationError, "shape"),
        ([1], APIResponseValidationError, "must be a JSON object"),
        (None, APIResponseValidationError, "must be a JSON object"),
        (
            {"choices": [{"message": {"content": "hal"}, "finish_reason": "error"}]},
            InternalServerError,
            "'error'",
        ),
    ],
)
def test_a_json_body_with_status_200_but_without_an_answer_is_an_error(body, cls, says, stream):
    error = failed(orjson.dumps(body), content_type="application/json", stream=stream)
    assert type(error) is cls
    assert says in error.message


@pytest.mark.parametrize("length", [0, 1, 50, len(orjson.dumps(COMPLETION)) - 1])
def test_half_a_json_answer_is_an_error(length):
    error = failed(orjson.dumps(COMPLETION)[:length], content_type="application/json")
    assert type(error) is StreamTruncatedError
    assert error.partial is None


def test_a_json_answer_that_breaks_off_is_an_error():
    attempt = exchange(content_type="application/json")
    attempt.receive_data(orjson.dumps(COMPLETION)[:50])
    attempt.receive_failure(APIConnectionError("reset"))
    assert type(attempt.error) is APIConnectionError


@pytest.mark.parametrize("status", [302, 400, 429, 500])
def test_an_error_status_counts_whatever_the_body_says(status):
    error = failed(*EVENTS, status=status)
    assert error.status_code == status
    assert error.partial is None


def test_only_the_beginning_of_an_endless_error_page_is_kept():
    attempt = exchange(status=500, content_type="text/plain")
    for _ in range(1000):
        attempt.receive_data(b"x" * 1024)
    attempt.receive_eof()
    assert type(attempt.error) is InternalServerError
    assert len(attempt.error.message) < 1000
    assert len(attempt._body._data) < 100_000


# Events that are no chunks


@pytest.mark.parametrize(
    "data",
    [b"{broken", b"[1]", b'"text"', b"17", b"<html>", b'{"a":1}{"b":2}'],
)
def test_an_event_without_a_json_object_is_an_error(data):
    error = failed(EVENTS[0], EVENTS[1], b"data: " + data + b"\n\n", *EVENTS[2:])
    assert type(error) is APIResponseValidationError
    assert not error.retryable
    assert text(error.partial) == "one "


def test_broken_utf8_inside_a_chunk_is_replaced_not_fatal():
    broken = sse(chat_chunk({"content": "tw?"})).replace(b"tw?", b"tw\xff")
    attempt, _ = received(EVENTS[0], EVENTS[1], broken, *EVENTS[3:])
    assert attempt.error is None
    assert text(attempt.completion()) == "one tw\ufffd"


@pytest.mark.parametrize(
    "choices",
    [
        "text",
        7,
        False,
        {"index": 0},
        [None],
        ["text"],
        [[]],
        [{"delta": []}],
        [{"delta": "text"}],
        [{"index": "x", "delta": {}}, {"index": 1, "delta": {}}],
        [{"index": [1], "delta": {}}, {"index": 1, "delta": {}}],
    ],
)
def test_choices_of_another_shape_are_a_validation_error(choices):
    error = failed(EVENTS[0], EVENTS[1], sse({"choices": choices}), *EVENTS[2:])
    assert type(error) is APIResponseValidationError
    assert text(error.partial) == "one "


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": "text"},
        {"tool_calls": [None, 7]},
        {"tool_calls": [{"function": "f"}]},
        {"function_call": "f"},
        {"audio": "bytes"},
        {"audio": {"data": "no base64!"}},
        {"thinking_blocks": ["text"]},
        {"role": ["assistant"]},
    ],
)
def test_a_field_of_an_unexpected_type_is_kept_and_not_fatal(delta):
    attempt, chunks = received(EVENTS[0], sse(chat_chunk(delta)), *EVENTS[1:])
    assert attempt.error is None
    assert chunks[1].choices[0].delta == {"content": None, **delta}
    [name] = delta
    assert attempt.completion()["choices"][0]["message"][name] is not None


NAMES = (
    "choices delta message index content role tool_calls function arguments id error usage"
    " finish_reason logprobs audio data thinking_blocks code type object".split()
)
# Deferred, not recursive: hypothesis now and then takes the latter for one that does not recurse.
JSON = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.integers(-2, 600)
        | st.sampled_from(["", "stop", "abort", "x"])
        | st.lists(JSON, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4)
    )
)


@settings(max_examples=300)
@given(st.lists(JSON | st.fixed_dictionaries({"choices": JSON}), max_size=4), st.booleans())
def test_any_json_raises_only_this_librarys_errors(payloads, streamed):
    kind = "text/event-stream" if streamed else "application/json"
    attempt = exchange(content_type=kind)
    for payload in payloads:
        attempt.receive_data(sse(payload) if streamed else orjson.dumps(payload))
    attempt.receive_data(DONE if streamed else b"")
    attempt.receive_eof()
    attempt.attach_partial()
    assert attempt.complete is (attempt.error is None)
    assert orjson.dumps(attempt.completion())


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(b"".join(NOISY))), max_size=10))
def test_any_cuts_give_the_same_completion(cuts):
    data = b"".join(NOISY)
    ends = sorted({0, len(data), *cuts})
    attempt, _ = received(*[data[a:b] for a, b in pairwise(ends)])
    assert attempt.error is None
    assert text(attempt.completion()) == "é\N{GRINNING FACE} one"


# Names that servers give to the same thing


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"reasoning": "hm"}, {"reasoning_content": "hm"}),
        ({"reasoning_content": "hm"}, {"reasoning_content": "hm"}),
        (
            {"reasoning": "a", "reasoning_content": "b"},
            {"reasoning": "a", "reasoning_content": "b"},
        ),
        ({"reasoning": None}, {}),
        ({"reasoning": {"effort": 1}}, {"reasoning": {"effort": 1}}),
        (
            {"tool_calls": {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}},
            {"tool_calls": [{"id": "a", "type": "function",
                             "function": {"name": "f", "arguments": '{"x":1}'}}]},
        ),
    ],
)  # fmt: skip
def test_reasoning_and_tool_calls_have_one_shape(delta, expected):
    attempt, _ = received(sse(chat_chunk(delta)), *EVENTS[3:])
    message = dict(attempt.completion()["choices"][0]["message"])
    del message["role"]
    assert message == {"content": None} | expected


def test_a_delta_of_null_reads_as_an_empty_one():
    _, chunks = received(sse({"choices": [{"index": 0, "delta": None}]}), DONE)
    assert chunks[0].choices[0].delta.content is None


# What is sent


def sent(stream=True, base_url="https://x/v1", key="sk-1", **fields):
    request = Request("m", [{"role": "user", "content": "hi"}], stream=stream, **fields)
    return Exchange(request, Endpoint(ENDPOINT.provider, base_url, key)).http_request()


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://x/v1", "https://x/v1/chat/completions"),
        ("https://x/v1/", "https://x/v1/chat/completions"),
        ("https://x/v1/chat/completions", "https://x/v1/chat/completions"),
        ("https://x/v1/chat/completions/", "https://x/v1/chat/completions"),
        ("https://x", "https://x/chat/completions"),
        ("https://x/openai/d?api-version=1", "https://x/openai/d/chat/completions?api-version=1"),
        ("https://x/chat/completions?api-version=1", "https://x/chat/completions?api-version=1"),
    ],
)
def test_a_base_url_is_the_root_or_the_whole_address(base_url, url):
    assert sent(base_url=base_url).url == url


def test_a_stream_requests_usage_unless_the_caller_decides_otherwise():
    body = orjson.loads(sent().content)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    own = orjson.loads(sent(params={"stream_options": {"include_usage": False, "x": 1}}).content)
    assert own["stream_options"] == {"include_usage": False, "x": 1}
    plain = orjson.loads(sent(stream=False, params={"stream_options": {"x": 1}, "n": 2}).content)
    assert plain == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 2}


def test_extra_body_and_extra_headers_override_everything_else():
    request = sent(
        extra_body={"stream_options": None, "top_k": 5},
        extra_headers={"Authorization": "Basic abc", "X-Team": "a"},
    )
    body = orjson.loads(request.content)
    assert (body["stream_options"], body["top_k"]) == (None, 5)
    assert request.headers["authorization"] == "Basic abc"
    assert request.headers["x-team"] == "a"
    assert "Authorization" not in request.headers
    assert "authorization" not in sent(key=None).headers


def test_the_signer_gets_the_finished_request():
    def sign(request):
        return type(request)(request.url + "?signed", request.headers, request.content)

    endpoint = Endpoint(ENDPOINT.provider, "https://x/v1", signer=sign)
    request = Exchange(Request("m", []), endpoint).http_request()
    assert request.url == "https://x/v1/chat/completions?signed"
