"""`mock_response=`: a given response in the form of a provider's bytes, without a request. Pure.

It goes through the same decoder as any other, so that what a test sees is what a caller gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ritellm import errors
from ritellm.endpoints import Endpoint, Provider, Take, Tape
from ritellm.errors import InvalidRequestError, RitellmError

# litellm's, for every mock.
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
_NAMED_ERROR = re.compile(r"(?:lite|rite)llm\.(\w+)")


def mocked(provider: Provider, model: str, response: Any, stream: bool, n: Any = None) -> Endpoint:
    """Return an endpoint that replays `response`, with `n` choices if it is a text.

    `response` is a text, a list of texts or of chunks, a whole completion, an exception (or its
    class), or the name of an error of this library, as in "litellm.RateLimitError".
    """
    error = _error(response, provider.name, model)
    take = (
        Take(None, error=error)
        if error
        else _answer(model, response, stream, n if isinstance(n, int) else 1)
    )
    return Endpoint(provider, "mock:", wire="openai_chat", tape=Tape([take]))


def _error(response: Any, provider: str, model: str) -> Exception | None:
    if isinstance(response, Exception):
        return response
    named = _NAMED_ERROR.fullmatch(response) if isinstance(response, str) else None
    cls = getattr(errors, named[1], None) if named else response
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        return None
    text = "this is a mock"
    if not issubclass(cls, RitellmError):
        return cls(text)
    return cls(text, provider=provider, model=model)


def _answer(model: str, response: Any, stream: bool, n: int) -> Take:
    kind = "text/event-stream" if stream else "application/json"
    data = _events(model, response, n) if stream else [_whole(model, response, n)]
    return Take(200, [("content-type", kind)], [(0.0, each) for each in data])


def _events(model: str, response: Any, n: int) -> list[bytes]:
    """Return the events of a streamed response, as they arrive from a network."""
    chunks = list(_chunks(model, response, n))
    return [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def _chunks(model: str, response: Any, n: int) -> Iterable[Mapping[str, Any]]:
    if isinstance(response, list) and response and isinstance(response[0], Mapping):
        return response
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _pieces(response)]
    head = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 0, "model": model}
    chunks = [{**head, "choices": _choices(n, delta=delta)} for delta in deltas]
    finish = {**head, "choices": _choices(n, delta={}, finish_reason="stop")}
    return [*chunks, finish, {**head, "choices": [], "usage": USAGE}]


def _whole(model: str, response: Any, n: int) -> bytes:
    if isinstance(response, Mapping):
        return orjson.dumps(response)
    if isinstance(response, list) and response and isinstance(response[0], Mapping):
        from ritellm.chunks import stream_chunk_builder

        return orjson.dumps(stream_chunk_builder(response))
    message = {"role": "assistant", "content": "".join(_pieces(response))}
    head = {"id": "chatcmpl-mock", "object": "chat.completion", "created": 0, "model": model}
    choices = _choices(n, message=message, finish_reason="stop")
    return orjson.dumps({**head, "choices": choices, "usage": USAGE})


def _choices(n: int, finish_reason: str | None = None, **fields: Any) -> list[dict[str, Any]]:
    return [{"index": index, **fields, "finish_reason": finish_reason} for index in range(n)]


def _pieces(response: Any) -> list[str]:
    """Return the text of a mock in pieces like those of a stream."""
    if isinstance(response, str):
        return re.findall(r"\S+\s*|\s+", response)
    if isinstance(response, list) and all(isinstance(each, str) for each in response):
        return response
    if isinstance(response, Mapping):
        message = ((response.get("choices") or [{}])[0]).get("message") or {}
        return _pieces(message.get("content") or "")
    raise InvalidRequestError(
        "mock_response must be a text, a list of texts or chunks, a completion, or an exception,"
        f" got {type(response).__name__}"
    )
