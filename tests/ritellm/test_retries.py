"""Retries, restarts and Retry-After of both faces."""

from __future__ import annotations

import httpx
import pytest
from faces import (
    AT_ONCE,
    BOTH,
    KEY,
    answered,
    closing,
    content,
    limits,
    text,
)
from fake_server import (
    Close,
    End,
    Head,
    Reply,
    Reset,
    Send,
    api_error,
    chat_events,
    chat_stream,
    error_event,
    html_page,
    raw,
    sse,
    sse_error,
    stream,
)

import ritellm
from ritellm.errors import (
    APIConnectionError,
    APIResponseValidationError,
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    RitellmError,
    ServiceUnavailableError,
)

OK = chat_stream("fine")
AGAIN = {
    "429, retry-after 0": api_error(429, headers={"retry-after": "0"}),
    "429, retry-after-ms": api_error(429, headers={"retry-after-ms": "1"}),
    "408": api_error(408),
    "409": api_error(409),
    "500": api_error(500),
    "502, HTML": html_page(502),
    "503": api_error(503),
    "529": api_error(529, "overloaded_error"),
    "reset before the head": Reply(steps=[Reset()]),
    "closed before the head": Reply(steps=[Close()]),
    "reset after the head": stream(Head(), Reset()),
    "an empty stream": stream(),
    "nothing but [DONE]": stream(sse("[DONE]")),
    "an error event first": sse_error("overloaded_error"),
    "half a first event": stream(chat_events("one")[0][:50], Reset()),
    "an empty JSON body": raw(b"", "application/json"),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("failure", AGAIN.values(), ids=AGAIN)
def test_a_failure_before_the_first_chunk_is_retried(face, fake_server, failure, streamed):
    fake_server.enqueue(failure, failure, OK)
    assert content(answered(face, streamed)) == "fine"
    assert len(fake_server.requests) == 3
    assert len({request.body for request in fake_server.requests}) == 1


FINAL = {
    "400": (api_error(400), BadRequestError),
    "401": (api_error(401), AuthenticationError),
    "404": (api_error(404), ritellm.NotFoundError),
    "422": (api_error(422), ritellm.UnprocessableEntityError),
    "no money": (api_error(429, "insufficient_quota", "insufficient_quota"), RateLimitError),
    "wait till tomorrow": (api_error(429, headers={"retry-after": "86400"}), RateLimitError),
    "a bad request in a stream": (sse_error("invalid_request_error"), BadRequestError),
    "HTML": (html_page(), APIResponseValidationError),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("failure", "cls"), FINAL.values(), ids=FINAL)
def test_a_final_failure_is_raised_at_once(face, fake_server, failure, cls, streamed):
    fake_server.enqueue(failure)
    with pytest.raises(cls) as caught:
        answered(face, streamed)
    assert type(caught.value) is cls
    assert len(fake_server.requests) == caught.value.attempts == 1


@pytest.mark.parametrize("arguments", [{"num_retries": 0}, {"num_retries": 3}, {"max_retries": 1}])
def test_the_caller_sets_the_number_of_retries(face, fake_server, arguments):
    [retries] = arguments.values()
    fake_server.script = lambda request: api_error(503, message=f"no. {len(fake_server.requests)}")
    with pytest.raises(ServiceUnavailableError) as caught:
        face.ask(**arguments)
    assert len(fake_server.requests) == caught.value.attempts == retries + 1
    assert caught.value.message == f"no. {retries + 1}"  # the newest error


def test_chunks_carry_the_number_of_their_attempt(face, fake_server):
    fake_server.enqueue(api_error(500), OK)
    opened = face.stream()
    chunks = list(opened)
    assert opened.attempts == 2
    assert [(chunk.attempt, chunk.seq) for chunk in chunks] == [(2, n) for n in range(len(chunks))]


def test_a_delay_beyond_the_total_timeout_raises_at_once(face, fake_server):
    fake_server.enqueue(api_error(429, headers={"retry-after": "3"}))
    with pytest.raises(RateLimitError) as caught:
        face.ask(timeout=limits(total=2.5))
    assert caught.value.retry_after == 3
    assert len(fake_server.requests) == 1


def test_a_retry_after_that_is_too_long_raises_and_is_named(face, fake_server):
    fake_server.enqueue(api_error(429, headers={"retry-after": "22320"}))
    with pytest.raises(RateLimitError, match="the provider asks to wait 22320 s") as caught:
        face.ask()
    assert caught.value.retry_after == 22320
    assert len(fake_server.requests) == 1


@pytest.mark.parametrize("cut", [Reset(), End(), Send(error_event())])
def test_after_the_first_chunk_there_is_no_retry_by_default(face, fake_server, cut):
    fake_server.enqueue(stream(*chat_events("one two")[:1], cut))
    opened = face.stream()
    with pytest.raises(RitellmError):
        list(opened)
    assert opened.attempts == len(fake_server.requests) == 1


def test_restart_delivers_the_new_attempt_from_its_beginning(face, fake_server):
    events = chat_events("one two")
    fake_server.enqueue(stream(*events[:3], Reset()), stream(*events[:2], error_event()), OK)
    opened = face.stream(on_interrupt="restart")
    chunks = list(opened)
    places = [(chunk.attempt, chunk.seq) for chunk in chunks]
    assert places[:5] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert places[5:] == [(3, n) for n in range(len(places) - 5)]
    assert text(chunks) == content(opened.completion) == "fine"
    assert opened.attempts == 3


def test_restarts_are_counted_as_retries(face, fake_server):
    said = iter(["one two", "three four", "five six"])
    fake_server.script = lambda request: stream(*chat_events(next(said))[:3], Reset())
    got = []
    with pytest.raises(APIConnectionError) as caught:
        got.extend(face.stream(on_interrupt="restart"))
    assert len(fake_server.requests) == 3
    assert content(caught.value.partial) == text(got) == "five six"


def test_a_final_error_is_not_restarted(face, fake_server):
    fake_server.enqueue(sse_error("invalid_request_error", after=chat_events("one two")[:3]))
    with pytest.raises(BadRequestError):
        list(face.stream(on_interrupt="restart"))
    assert len(fake_server.requests) == 1


@BOTH
def test_a_refused_connection_is_retried(make_face):
    answers = iter([httpx.ConnectError("refused"), None])

    def answer(request):
        if error := next(answers):
            raise error
        body, kind = b"".join(chat_events("fine")), {"content-type": "text/event-stream"}
        return httpx.Response(200, content=body, headers=kind)

    transport = httpx.MockTransport(answer)
    made = make_face(transport=transport, base_url="http://x/v1", api_key=KEY, retry=AT_ONCE)
    with closing(made):
        assert content(made.ask()) == "fine"
    assert next(answers, "over") == "over"
