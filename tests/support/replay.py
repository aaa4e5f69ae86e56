"""Bytes of an answer through an `Exchange`, without a network: for the tests of the dialects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ritellm.calls.exchange import Exchange
from ritellm.endpoints import Endpoint, Provider
from ritellm.types import Completion, HttpRequest, Request

STREAMS = Path(__file__).resolve().parents[3] / "shared" / "streams"

USER = [{"role": "user", "content": "Hi"}]


def recorded(name: str) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a recorded stream and what is expected of it; skips without them."""
    if not (STREAMS / name).exists():
        pytest.skip(f"the recorded stream {name} is not beside this repository")
    index = json.loads((STREAMS / "index.json").read_text())
    expected = next(f["expect"] for f in index["fixtures"] if f["file"] == name)
    return (STREAMS / name).read_bytes(), expected


def exchange_with(wire: str, base_url: str = "http://test", key: str | None = "k", **request: Any):
    """Return an exchange in the dialect `wire`; `request` holds fields of `Request`."""
    provider = Provider("test", wire, base_url)
    fields = {"model": "m", "messages": USER, "stream": True, **request}
    return Exchange(Request(**fields), Endpoint(provider, base_url, key))


def asked(wire: str, **request: Any) -> tuple[HttpRequest, dict[str, Any]]:
    """Return what is sent, and its body as JSON."""
    sent = exchange_with(wire, **request).http_request()
    return sent, json.loads(sent.content)


def body_of(wire: str, messages: Sequence[Mapping[str, Any]] = USER, **params: Any) -> Any:
    """Return the JSON that `messages` and `params` become."""
    return asked(wire, messages=messages, params=params)[1]


def answered(
    wire: str,
    data: bytes | Iterable[bytes],
    content_type: str = "text/event-stream",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **request: Any,
) -> Exchange:
    """Return an exchange that has received `data` (or its pieces) and then the end of the body."""
    exchange = exchange_with(wire, **request)
    exchange.receive_response(status, {"content-type": content_type, **(headers or {})})
    for piece in [data] if isinstance(data, bytes) else data:
        exchange.receive_data(piece)
    exchange.receive_eof()
    return exchange


def whole(wire: str, body: Any, **request: Any) -> Exchange:
    """Return an exchange that has received `body`, an answer that was not streamed."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answered(wire, data, "application/json", stream=False, **request)


def completion_of(exchange: Exchange) -> Completion:
    """Return the completion; fails if the exchange did."""
    assert exchange.error is None, exchange.error
    assert exchange.complete
    return exchange.completion()


def message_of(exchange: Exchange) -> dict[str, Any]:
    """Return the message of the only choice."""
    return completion_of(exchange)["choices"][0]["message"]


def by_the_byte(data: bytes) -> list[bytes]:
    """Return `data` in pieces of one byte."""
    return [data[i : i + 1] for i in range(len(data))]


def sse(*events: Any, done: bool = False, newline: str = "\n") -> bytes:
    """Return `events` as a server-sent stream; one with a "type" is named by it."""
    lines = []
    for event in events:
        if isinstance(event, dict) and isinstance(event.get("type"), str):
            lines.append(f"event: {event['type']}{newline}")
        lines.append(f"data: {json.dumps(event)}{newline}{newline}")
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


def mark_of(data: bytes) -> bytes:
    """Return what stands between the events of `data`."""
    return b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"


def sse_cuts(data: bytes) -> list[bytes]:
    """Return every beginning of `data` that ends between two events, the empty one included."""
    mark = mark_of(data)
    events = data.split(mark)[:-1]
    return [b"".join(e + mark for e in events[:n]) for n in range(len(events) + 1)]
