"""OpenAI's error bodies, whose shape most providers use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ritellm.errors import APIError, InternalServerError, error_class, is_final
from ritellm.limit_headers import retry_after
from ritellm.wire.errors.phrases import narrowed


def decode_error(status: int, body: bytes, headers: Mapping[str, str]) -> APIError:
    """Return the error for a response with `status`."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = {}
    error = _error_object(payload)
    code, kind = _word(error.get("code")), _word(error.get("type"))
    final = is_final(code, kind)
    cls = narrowed(error_class(status, code, kind), _message(error))
    return cls(
        _message(error) or f"HTTP {status}: {excerpt(body) or 'no text'}",
        status_code=status,
        code=code or kind,
        retryable=False if final else None,
        retry_after=retry_after(headers),
    )


def stream_error(payload: Mapping[str, Any]) -> APIError:
    """Return the error inside a response that began with a 200."""
    error = _error_object(payload)
    code, kind = _word(error.get("code")), _word(error.get("type"))
    words = map(error.get, ("status_code", "code", "status"))
    status = next((found for word in words if (found := _status(word))), None)
    cls = narrowed(error_class(status, code, kind), _message(error))
    if cls is APIError:
        cls = InternalServerError  # the provider gave no reason
    return cls(
        _message(error) or "the provider reported an error without a message",
        status_code=status,
        code=code or kind,
        retryable=False if is_final(code, kind) else None,
    )


def excerpt(body: bytes) -> str:
    """Return the beginning of a body that is not JSON, on one line."""
    return " ".join(body[:300].decode("utf-8", "replace").split())


def _error_object(payload: Any) -> dict[str, Any]:
    """Return the object that describes an error, at any of the usual places."""
    error = payload.get("error", payload) if isinstance(payload, dict) else {}
    if isinstance(error, str):  # TGI, Ollama: {"error": "text", "error_type": "..."}
        return {"message": error, "type": payload.get("error_type")}
    if isinstance(error, list) and error:
        error = error[0]
    return error if isinstance(error, dict) else {}


def _message(error: Mapping[str, Any]) -> str:
    message = error.get("message") or error.get("detail") or ""
    return message if isinstance(message, str) else orjson.dumps(message).decode()


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _status(value: Any) -> int | None:
    """Return an HTTP status of an error, which litellm's proxy writes as text."""
    if isinstance(value, str) and len(value) == 3 and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value < 600 else None
