"""Answers of Anthropic and Gemini, played to an `Exchange`; and what one would ask them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from ritellm import wire as wires
from ritellm.exchange import Exchange
from ritellm.types import Endpoint, Provider, Request

STREAMS = Path(__file__).resolve().parents[2] / "shared" / "streams"
ASK = [{"role": "user", "content": "hi"}]


def recordings(provider: str) -> list[Any]:
    """Return pytest parameters (bytes, expected) for the recorded streams of `provider`."""
    index = STREAMS / "index.json"
    if not index.exists():
        reason = f"there are no recordings at {STREAMS}"
        return [pytest.param(b"", {}, id="none", marks=pytest.mark.skip(reason=reason))]
    return [
        pytest.param(recorded(each["file"]), each["expect"], id=each["file"])
        for each in json.loads(index.read_bytes())["fixtures"]
        if each["file"].startswith(f"{provider}/")
    ]


def recorded(file: str) -> bytes:
    """Return a recording as the server wrote it, unzipped."""
    data = (STREAMS / file).read_bytes()
    return zlib.decompressobj(31).decompress(data) if file.endswith(".gz") else data


def exchange(wire: str, *, stream: bool = True, **params: Any) -> Exchange:
    """Return one call, about to hear its answer."""
    request = Request("m", ASK, params, stream=stream)
    return Exchange(request, Endpoint(Provider("p", wire), "https://host", key="secret"))


def streamed(wire: str, data: bytes, step: int = 0, **params: Any) -> Exchange:
    """Return the call that heard `data` as a stream, cut into pieces of `step` bytes."""
    call = exchange(wire, **params)
    call.receive_response(200, {"content-type": "text/event-stream"})
    step = step or max(1, len(data))
    for begin in range(0, len(data), step):
        call.receive_data(data[begin : begin + step])
    call.receive_eof()
    call.attach_partial()
    return call


def whole(wire: str, body: Any, **params: Any) -> Exchange:
    """Return the call that heard `body` in one piece."""
    call = exchange(wire, stream=False, **params)
    call.receive_response(200, {"content-type": "application/json"})
    call.receive_data(orjson.dumps(body))
    call.receive_eof()
    call.attach_partial()
    return call


def sse(*events: Any, newline: str = "\n") -> bytes:
    """Return `events` as a server-sent stream; one with a "type" is named by it."""
    lines = []
    for event in events:
        if isinstance(event, dict) and isinstance(event.get("type"), str):
            lines.append(f"event: {event['type']}{newline}")
        lines.append(f"data: {json.dumps(event)}{newline}{newline}")
    return "".join(lines).encode()


def asked(
    wire: str,
    messages: list[Any] | None = None,
    *,
    model: str = "m",
    base_url: str = "https://host",
    drop_params: bool = False,
    stream: bool = False,
    extra_body: Any = (),
    extra_headers: Any = (),
    **params: Any,
) -> Any:
    """Return the HTTP request that asks this."""
    request = Request(
        model,
        messages or ASK,
        params,
        stream=stream,
        drop_params=drop_params,
        extra_body=dict(extra_body),
        extra_headers=dict(extra_headers),
    )
    endpoint = Endpoint(Provider("p", wire), base_url, key="secret")
    return wires.load(wire).build_request(request, endpoint)


def body(*args: Any, **kwargs: Any) -> Any:
    """Return the JSON that asks this."""
    return orjson.loads(asked(*args, **kwargs).content)


def message(call: Exchange) -> Any:
    """Return the message that came out; whatever was wrong is raised."""
    if call.error is not None:
        raise call.error
    return call.completion()["choices"][0]["message"]


def cuts(data: bytes) -> list[int]:
    """Return where an event of `data` ends, but for the last."""
    mark = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    ends, at = [0], data.find(mark)
    while at >= 0:
        ends.append(at + len(mark))
        at = data.find(mark, at + 1)
    return [end for end in ends if end < len(data)]


def sprinkled(data: bytes) -> bytes:
    """Return `data` with comments, ids, retry lines and empty events between its events."""
    mark = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    line = mark[: len(mark) // 2]
    noise = mark.join([b": keep-alive", b"id: 7" + line + b"retry: 3000", b"event: nothing", b""])
    return noise + data.replace(mark, mark + noise)
