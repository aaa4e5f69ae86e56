"""Targets for answers: framings, dialects, errors, headers, HTTP."""

from __future__ import annotations

import json
import pickle
from functools import partial
from typing import Any

import httpx
from odd_values import as_json
from replay import answered
from rich_answers import ANSWERS, ERRORS

from fuzz.target import Target, same_for_every_cut
from ritellm import wire as wires
from ritellm.errors import RitellmError
from ritellm.limit_headers import budgets, oddities, retry_after
from ritellm.wire.base import Framing

KEY = "sk-proj-0123456789abcdef"


def targets() -> list[Target]:
    """Return the targets of this module."""
    found = []
    for name, (payloads, framing, kind, whole) in ANSWERS.items():
        stream, document = framing(payloads), as_json(whole)
        errors = [as_json(ERRORS[name]), b"<html>busy</html>", b""]
        found += [
            Target(f"stream-{name}", [stream], partial(read_stream, name, kind)),
            Target(f"document-{name}", [document], partial(read_document, name)),
            Target(f"error-{name}", errors, partial(read_error, name)),
        ]
        if name in ("openai_chat", "gemini", "ollama", "bedrock"):
            cut = partial(read_framing, name)
            found.append(Target(f"framing-{name}", [stream], cut))
    found.append(Target("headers", HEADERS, read_headers))
    try:
        import httptools  # noqa: F401
    except ImportError:
        return found
    return [*found, Target("http", HTTP, read_http, (*HTTP_WORDS, b"\r\n", b"\n", b"0", b" "))]


def read_framing(wire: str, data: bytes) -> None:
    """Split `data` into events."""
    same_for_every_cut(lambda pieces: _events(wires.load(wire).new_framing(), pieces), data)


def _events(framing: Framing, pieces: list[bytes]) -> Any:
    events = []
    try:
        for piece in pieces:
            events += framing.feed(piece)
        events += framing.eof()
    except RitellmError as error:
        return events, type(error)
    return events


def read_stream(wire: str, kind: str, data: bytes) -> None:
    """Read `data` as a streamed answer."""
    same_for_every_cut(lambda pieces: _ending(answered(wire, pieces, kind)), data)


def read_document(wire: str, data: bytes) -> None:
    """Read `data` as a whole answer."""
    read = partial(answered, wire, content_type="application/json", stream=False)
    same_for_every_cut(lambda pieces: _ending(read(pieces)), data)


def read_error(wire: str, data: bytes) -> None:
    """Read `data` as the body of a refusal."""
    for status in (200, 400, 429, 500):
        exchange = answered(wire, data, "application/json", status, stream=False, key=KEY)
        _ending(exchange)
        if status >= 300:
            assert isinstance(exchange.error, RitellmError)


def _ending(exchange: Any) -> Any:
    """Return what the caller of a finished exchange gets, which must survive all that he may do."""
    exchange.attach_partial()
    error = exchange.error
    exchange.discarded()
    if error is None:
        completion = exchange.completion()
        try:
            again = json.loads(json.dumps(completion))
        except RecursionError:  # the caller gets the answer, and may be unable to write it
            return None
        assert json.dumps(again, sort_keys=True) == json.dumps(completion, sort_keys=True)
        return again
    assert isinstance(error, RitellmError), repr(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    return type(error), error.status_code, error.code, _text(error.partial)


def _text(partial_completion: Any) -> Any:
    return partial_completion and [
        choice["message"].get("content") for choice in partial_completion["choices"]
    ]


HEADERS = [
    b"retry-after: 20\nx-ratelimit-reset-requests: 6m12s\nx-ratelimit-remaining-requests: 3",
    b"retry-after: Wed, 21 Oct 2015 07:28:00 GMT\ndate: Wed, 21 Oct 2015 07:27:00 GMT",
    b"anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z\nretry-after-ms: 20",
    b"x-ratelimit-reset: 1999999999\nx-ratelimit-remaining: 0\nratelimit-reset: 1e6",
]


def read_headers(data: bytes) -> None:
    """Read limits from the headers in `data`, one a line."""
    pairs = (line.partition(":") for line in data.decode("utf-8", "replace").splitlines())
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    wait = retry_after(headers)
    assert wait is None or 0 <= wait <= 86_400
    for budget in budgets(headers):
        assert budget.reset is None or 0 <= budget.reset <= 86_400
    list(oddities(headers))


HTTP = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 429 Slow\r\nretry-after: 1\r\nconnection: close\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON",
]
HTTP_WORDS = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 3\r\n",
    b"connection: close\r\n",
    b"a" * 3000,
)


def read_http(data: bytes) -> None:
    """Read `data` as a response on a connection of the extra `fast`."""
    same_for_every_cut(_response, data)


def _response(pieces: list[bytes]) -> Any:
    from ritellm.transports.fast.http11 import ResponseParser

    parser = ResponseParser()
    parser.expect()
    body = b""
    failed = False
    try:
        for piece in pieces:
            parser.feed(piece)
            body += parser.take()
            if parser.ended:
                break  # bytes that come later close the connection before they are read
        parser.close(None)
    except httpx.HTTPError:
        failed = True
    # An error may be noticed before or after a part of the body was taken.
    return (failed, parser.begun) if failed else (parser.status, dict(parser.headers), body)
