"""What a server can make grow has a limit, and a large event costs no more than its size."""

from __future__ import annotations

import pickle
from struct import pack
from zlib import crc32

import pytest

from ritellm.calls.exchange import Exchange
from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import APIResponseValidationError
from ritellm.types import Request
from ritellm.wire import limits
from ritellm.wire.framing.aws_eventstream import EventStream
from ritellm.wire.framing.jsonl import JSONLines
from ritellm.wire.framing.sse import SSE

KIB = 1024


def aws_frame(payload: bytes) -> bytes:
    prelude = pack(">II", len(payload) + 16, 0)
    head = prelude + pack(">I", crc32(prelude))
    return head + payload + pack(">I", crc32(head + payload))


LARGE = b"x" * 40 * KIB
# name: (framing, a large event with its end, the event)
EVENTS = {
    "sse": (SSE, b"data: " + LARGE + b"\n\n", LARGE),
    "sse with CRLF": (SSE, b"data: " + LARGE + b"\r\n\r\n", LARGE),
    "sse in lines": (SSE, b"data: " + LARGE + b"\ndata: y\n\n", LARGE + b"\ny"),
    "lines": (JSONLines, LARGE + b"\n", LARGE),
    "aws": (EventStream, aws_frame(LARGE), LARGE),
}
BY_NAME = pytest.mark.parametrize(("new", "body", "event"), EVENTS.values(), ids=EVENTS)


def pieces_of(body: bytes, size: int, last: int) -> list[bytes]:
    """Return `body` in pieces of `size` bytes, and its last bytes one by one."""
    head, tail = body[:-last], body[-last:]
    pieces = [head[at : at + size] for at in range(0, len(head), size)]
    return pieces + [tail[at : at + 1] for at in range(last)]


def feed(framing, pieces) -> list[bytes]:
    return [data for piece in pieces for _, data in framing.feed(piece)]


@BY_NAME
@pytest.mark.parametrize("size", [1400, 8 * KIB, 8 * KIB + 1])
def test_a_large_event_in_pieces_is_the_same_event(new, body, event, size):
    framing = new()
    for _ in range(2):
        found = feed(framing, pieces_of(body, size, 12))
        assert found + [data for _, data in framing.eof()] == [event]


@pytest.mark.parametrize("last", range(1, 12))
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n"])
def test_the_end_of_a_large_event_may_be_cut_anywhere(last, end):
    body = b"data: " + LARGE + end + b"data: y" + end
    framing = SSE()
    found = framing.feed(body[:-last]) + framing.feed(body[-last:]) + framing.eof()
    assert [data for _, data in found] == [LARGE, b"y"]


@pytest.mark.parametrize(
    ("new", "buffer"),
    [
        (SSE, lambda framing: framing._rest),
        (JSONLines, lambda framing: framing._rest.data),
        (EventStream, lambda framing: framing._rest),
    ],
)
def test_a_large_event_is_not_copied_with_each_piece(new, buffer):
    framing = new()
    framing.feed(aws_frame(LARGE)[:-9] if new is EventStream else LARGE)
    framing.feed(b"x")
    before = buffer(framing)
    framing.feed(b"x")
    assert isinstance(before, bytearray)
    assert buffer(framing) is before


@BY_NAME
def test_an_event_beyond_the_limit_is_an_error_that_names_it(monkeypatch, new, body, event):
    monkeypatch.setattr(limits, "MAX_EVENT_BYTES", 32 * KIB)
    framing = new()
    with pytest.raises(APIResponseValidationError, match="at most 32 KiB") as caught:
        feed(framing, pieces_of(body, KIB, 12))
    assert not caught.value.retryable
    assert caught.value.code == "too_large"
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_a_bare_error_beyond_the_limit_is_an_error(monkeypatch):
    monkeypatch.setattr(limits, "MAX_EVENT_BYTES", 32 * KIB)
    framing = SSE()
    framing.feed(b"{")
    with pytest.raises(APIResponseValidationError, match="at most 32 KiB"):
        feed(framing, [b"x" * KIB] * 33)


PROVIDER = Provider("openai", "openai_chat", "https://api.openai.com/v1", "OPENAI_API_KEY")


def exchange(content_type: str, *, stream: bool = True) -> Exchange:
    request = Request(model="m", messages=({"role": "user", "content": "hi"},), stream=stream)
    made = Exchange(request, Endpoint(PROVIDER, "https://api.openai.com/v1", "k"))
    made.receive_response(200, {"content-type": content_type})
    return made


def fed(attempt: Exchange, first: bytes, piece: bytes, most: int = 1000) -> int:
    """Return after how many pieces the exchange is over."""
    attempt.receive_data(first)
    for count in range(most):
        if attempt.over:
            return count
        attempt.receive_data(piece)
    return most


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_a_document_without_an_end_is_an_error(monkeypatch, content_type):
    monkeypatch.setattr(limits, "MAX_DOCUMENT_BYTES", 64 * KIB)
    attempt = exchange(content_type, stream=False)
    assert fed(attempt, b'{"a": "', b"x" * KIB) == 64
    assert "a JSON document of a response must have at most 64 KiB" in str(attempt.error)
    assert not attempt.error.retryable


def test_a_stream_without_an_end_is_an_error(monkeypatch):
    monkeypatch.setattr(limits, "MAX_STREAM_BYTES", 64 * KIB)
    attempt = exchange("text/event-stream")
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    count = fed(attempt, b"", event, 10_000)
    assert count == 64 * KIB // len(event) + 1
    assert "the body of a response must have at most 64 KiB" in str(attempt.error)
    attempt.attach_partial()
    assert attempt.error.partial.choices[0].message.content == "a" * (count - 1)


def test_blanks_before_a_document_are_not_kept():
    attempt = exchange("application/json", stream=False)
    fed(attempt, b"\xef\xbb\xbf", b" \n" * KIB, 100)
    assert len(attempt._body._blank) < 10
    message = b'{"index":0,"message":{"content":"a"},"finish_reason":"stop"}'
    attempt.receive_data(b'{"choices":[' + message + b"]}")
    attempt.receive_eof()
    assert attempt.completion().choices[0].message.content == "a"


def test_an_error_page_without_an_end_is_not_read_to_its_end():
    attempt = exchange("text/html")
    assert fed(attempt, b"<html>", b"x" * KIB) < 100


@pytest.mark.parametrize(
    ("limit", "text"), [(3 * limits.MIB, "3 MiB"), (1536, "1536 bytes"), (2 * KIB, "2 KiB")]
)
def test_a_limit_is_named_in_its_largest_unit(limit, text):
    assert limits.size(limit) == text
