"""Answers of Anthropic and Gemini, played to an `Exchange`; and what one would ask them."""

from __future__ import annotations

import json
import zlib
from typing import Any

import orjson
import pytest
from replay import STREAMS, answered, exchange_with, mark_of, sse_cuts

from ritellm.calls.exchange import Exchange

HOST = "https://host"
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


_ASKED: dict[str, Any] = {"base_url": HOST, "key": "secret", "messages": ASK}


def streamed(wire: str, data: bytes, step: int = 0, **params: Any) -> Exchange:
    """Return the call that heard `data` as a stream, cut into pieces of `step` bytes."""
    step = step or max(1, len(data))
    pieces = [data[begin : begin + step] for begin in range(0, len(data), step)]
    call = answered(wire, pieces, **_ASKED, params=params)
    call.attach_partial()
    return call


def whole(wire: str, body: Any, **params: Any) -> Exchange:
    """Return the call that heard `body` in one piece."""
    call = answered(
        wire, orjson.dumps(body), "application/json", **_ASKED, stream=False, params=params
    )
    call.attach_partial()
    return call


def asked(
    wire: str,
    messages: list[Any] | None = None,
    *,
    model: str = "m",
    base_url: str = HOST,
    drop_params: bool = False,
    stream: bool = False,
    extra_body: Any = (),
    extra_headers: Any = (),
    **params: Any,
) -> Any:
    """Return the HTTP request that asks this."""
    call = exchange_with(
        wire,
        base_url,
        "secret",
        model=model,
        messages=messages or ASK,
        params=params,
        stream=stream,
        drop_params=drop_params,
        extra_body=dict(extra_body),
        extra_headers=dict(extra_headers),
    )
    return call.http_request()


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
    return [len(beginning) for beginning in sse_cuts(data) if len(beginning) < len(data)]


def sprinkled(data: bytes) -> bytes:
    """Return `data` with comments, ids, retry lines and empty events between its events."""
    mark = mark_of(data)
    line = mark[: len(mark) // 2]
    noise = mark.join([b": keep-alive", b"id: 7" + line + b"retry: 3000", b"event: nothing", b""])
    return noise + data.replace(mark, mark + noise)
