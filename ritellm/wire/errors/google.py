"""Anthropic's and Google's error bodies. Classified by status and code, then by fixed phrases.

Anthropic: `{"error": {"type", "message", "details": {"error_code"}}, "request_id"}`.
Google: `{"error": {"code", "message", "status", "details": [...]}}`, at times in a list of one.
For Claude, Vertex sends either, depending on where the request failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ritellm.errors import APIError, AuthenticationError, InternalServerError, error_class, is_final
from ritellm.limit_headers import duration, retry_after
from ritellm.wire.errors.openai import excerpt
from ritellm.wire.errors.phrases import narrowed

# An error inside a 200 has no status; these are the statuses of the same errors outside.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def decode_error(status: int, body: bytes, headers: Mapping[str, str]) -> APIError:
    """Return the error for a response with `status`."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = None
    text = f"HTTP {status}: {excerpt(body) or 'no text'}"
    request_id = headers.get("request-id")
    return _error(payload, status, text, retry_after(headers), request_id)


def stream_error(payload: Any) -> APIError:
    """Return the error inside a response that began with a 200."""
    error = _object(payload)
    code = error.get("code")
    status = code if isinstance(code, int) else _STATUS.get(str(error.get("type")))
    return _error(payload, status, "the provider reported an error without a message")


def _error(
    payload: Any,
    status: int | None,
    text: str,
    wait: float | None = None,
    request_id: str | None = None,
) -> APIError:
    error = _object(payload)
    words = [word for word in _words(error) if isinstance(word, str)]
    request_id = request_id or (payload.get("request_id") if isinstance(payload, dict) else None)
    message = str(error.get("message") or text)
    final = is_final(*words) or _for_today(error)
    return _class(status, words, message)(
        f"{message} (request {request_id})" if request_id else message,
        status_code=status,
        code=words[0] if words else None,
        retryable=False if final else None,
        retry_after=wait if wait is not None else _retry_delay(error),
    )


def _class(status: int | None, words: list[str], message: str) -> type[APIError]:
    if "API_KEY_INVALID" in words:
        return AuthenticationError  # Google sends 400 for a wrong key
    named = narrowed(error_class(status, *words), message)
    return InternalServerError if named is APIError else named


def _object(payload: Any) -> dict[str, Any]:
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _words(error: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the provider's codes for this error, the most specific first."""
    details = error.get("details")
    if isinstance(details, dict):
        yield details.get("error_code")
    for detail in _details(error, "ErrorInfo"):
        yield detail.get("reason")
    yield error.get("type")
    yield error.get("status")


def _details(error: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return Google's details of one kind: google.rpc.ErrorInfo, RetryInfo, QuotaFailure."""
    details = error.get("details")
    items = details if isinstance(details, list) else []
    return [
        item
        for item in items
        if isinstance(item, dict) and str(item.get("@type")).endswith(f"google.rpc.{kind}")
    ]


def _retry_delay(error: Mapping[str, Any]) -> float | None:
    delays = (duration(str(each.get("retryDelay"))) for each in _details(error, "RetryInfo"))
    return next((delay for delay in delays if delay is not None), None)


def _for_today(error: Mapping[str, Any]) -> bool:
    """Return whether a quota for the day is used up, which no retry outlasts."""
    return any(
        "PerDay" in str(violation.get("quotaId"))
        for detail in _details(error, "QuotaFailure")
        for violation in detail.get("violations") or ()
    )
