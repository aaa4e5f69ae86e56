"""A call, with a clock that the test sets: deadlines, retry delays, timing."""

from __future__ import annotations

import pytest
from faces import (
    KEY,
    MESSAGES,
    MODEL,
)
from fake_server import (
    chat_chunk,
    chat_events,
    sse,
)

from ritellm.calls.call import Call
from ritellm.calls.prepare import plan
from ritellm.errors import (
    APIConnectionError,
    BadRequestError,
    StreamTruncatedError,
)
from ritellm.types import Timeouts


def begun(stream=True, on_interrupt="raise", **limits):
    """Return a call that was made at 100 and sent at 101; its response has begun."""
    unlimited = dict.fromkeys(("connect", "first_chunk", "inter_chunk", "total"))
    asked = plan(MODEL, MESSAGES, {}, api_key=KEY, stream=stream, on_interrupt=on_interrupt,
                 timeout=Timeouts(**(unlimited | limits)))  # fmt: skip
    call = Call(asked, 100.0)
    call.start(asked.endpoint, 101.0).receive_response(200, {"content-type": "text/event-stream"})
    return call


@pytest.mark.parametrize(
    ("limits", "first", "between"),
    [
        ({}, None, None),
        ({"connect": 1}, None, None),
        ({"first_chunk": 5}, (106.0, "first_chunk"), None),
        ({"inter_chunk": 5}, None, (116.0, "inter_chunk")),
        ({"first_chunk": 5, "inter_chunk": 2}, (106.0, "first_chunk"), (113.0, "inter_chunk")),
        ({"total": 30}, (130.0, "total"), (130.0, "total")),
        ({"total": 3, "first_chunk": 5, "inter_chunk": 1}, (103.0, "total"), (103.0, "total")),
        ({"total": 13, "first_chunk": 5}, (106.0, "first_chunk"), (113.0, "total")),
    ],
)
def test_the_deadline_is_the_nearest_timeout(limits, first, between):
    call = begun(**limits)
    assert call.deadline == first
    call.receive_data(b": ping\n\n", 105.0)
    assert call.deadline == first
    assert call.receive_data(chat_events("one")[0], 110.0)
    call.excuse(1.0)
    assert call.deadline == between
    call.receive_data(b": ping\n\n", 112.0)
    assert call.deadline == between


def test_the_callers_own_time_before_the_first_chunk_does_not_count():
    call = begun(first_chunk=5, total=30)
    call.excuse(20.0)
    assert call.deadline == (126.0, "first_chunk")
    call.excuse(20.0)
    assert call.deadline == (130.0, "total")


def test_a_new_attempt_has_the_timeout_of_a_first_chunk():
    call = begun(first_chunk=5, inter_chunk=1)
    call.receive_data(chat_events("one")[0], 110.0)
    call.start(call.plan.endpoint, 120.0)
    assert call.deadline == (125.0, "first_chunk")
    assert call.attempts == 2


def test_reading_after_the_terminator_does_not_add_to_the_total():
    call = begun()
    for event in chat_events("one"):
        call.receive_data(event, 105.0)
    call.receive_eof(106.0)
    call.finish(107.0)
    assert call.timing.total == 6.0
    assert call.timing.ttft == 5.0


def test_a_call_that_breaks_after_the_answer_ends_at_finish():
    call = begun()
    for event in chat_events("one")[:-1]:
        call.receive_data(event, 105.0)
    call.current.receive_failure(APIConnectionError("reset"))
    call.finish(107.0)
    assert call.timing.total == 7.0


def test_an_error_ends_the_call_when_it_is_raised():
    call = begun(on_interrupt="restart")
    call.receive_eof(106.0)
    assert call.retry_delay(107.0, 0.0) == 0.25
    assert call.timing.total is None
    call.start(call.plan.endpoint, 108.0).receive_failure(BadRequestError("no"))
    with pytest.raises(BadRequestError):
        call.retry_delay(109.0, 0.0)
    assert call.timing.total == 9.0


@pytest.mark.parametrize(("total", "again"), [(7.2, False), (7.25, False), (7.3, True)])
def test_a_retry_that_would_begin_after_the_end_is_not_made(total, again):
    call = begun(total=total)
    call.receive_eof(106.0)
    if again:
        assert call.retry_delay(107.0, 0.0) == 0.25
    else:
        with pytest.raises(StreamTruncatedError):
            call.retry_delay(107.0, 0.0)


@pytest.mark.parametrize(
    ("delta", "counts"),
    [
        ({"content": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"refusal": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"audio": {"data": ""}}, True),
        ({"role": "assistant", "content": "", "tool_calls": []}, False),
        ({}, False),
        (None, False),
    ],
)
def test_the_first_token_is_the_first_content(delta, counts):
    call = begun()
    call.receive_data(sse(chat_chunk(delta)), 105.0)
    assert call.timing.ttft == (5.0 if counts else None)
    call.receive_data(sse({"choices": []}), 106.0)
    call.receive_data(sse(chat_chunk({"content": "b"}, index=1)), 107.0)
    assert call.timing.ttft == (5.0 if counts else 7.0)


@pytest.mark.parametrize(
    ("emit_chunks", "age", "pause"), [(True, 0.2, 0.1), (False, 0.2, 0.01), (False, 60.0, 0.1)]
)
def test_a_pause_lasts_as_long_as_the_buffer_or_a_share_of_the_time_so_far(emit_chunks, age, pause):
    asked = plan("openai/m", MESSAGES, {"OPENAI_API_KEY": KEY}, stream=True, buffer_msec=100)
    call = Call(asked, 100.0, emit_chunks=emit_chunks)
    call.start(asked.endpoint, 100.0)
    assert call.pause(100.0 + age) == pytest.approx(pause)


def test_bytes_may_stay_unparsed_after_the_first_content_without_chunks_to_emit():
    asked = plan("openai/m", MESSAGES, {"OPENAI_API_KEY": KEY}, stream=True, buffer_msec=100)
    call = Call(asked, 100.0, emit_chunks=False)
    exchange = call.start(asked.endpoint, 100.0)
    exchange.receive_response(200, {"content-type": "text/event-stream"})
    call.receive_data(sse(chat_chunk({"role": "assistant", "content": ""})), 100.1)
    assert call.parse_delay() == 0.0
    call.receive_data(sse(chat_chunk({"content": "a"})), 100.2)
    assert call.parse_delay() == 0.1


def test_time_in_the_buffer_does_not_count_as_the_providers_delay():
    limits = Timeouts(inter_chunk=1.0, first_chunk=2.0, total=None)
    environ = {"OPENAI_API_KEY": KEY}
    asked = plan("openai/m", MESSAGES, environ, stream=True, buffer_msec=500, timeout=limits)
    call = Call(asked, 100.0)
    call.start(asked.endpoint, 100.0)
    assert call.deadline == (102.5, "first_chunk")
