"""Bedrock's errors, as statuses and inside streams. Classified by code, then by fixed phrases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ritellm.errors import APIError, InternalServerError, error_class
from ritellm.limit_headers import retry_after
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.openai import excerpt
from ritellm.wire.errors.openai import stream_error as proxys_error
from ritellm.wire.errors.phrases import narrowed

# An exception inside a 200 has no status; these are from the service's own description.
_STATUS = {
    "accessDeniedException": 403,
    "internalServerException": 500,
    "modelErrorException": 424,
    "modelNotReadyException": 429,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "resourceNotFoundException": 404,
    "serviceQuotaExceededException": 400,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}


def decode_error(status: int, body: bytes, headers: Mapping[str, str]) -> APIError:
    """Return the error for a response with `status`."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = None
    fields = payload if isinstance(payload, dict) else {}
    # "ThrottlingException:http://internal.amazon.com/coral/..." in the header, or a "__type".
    word = headers.get("x-amzn-errortype") or fields.get("__type") or ""
    code = str(word).partition(":")[0].rpartition("#")[2] or None
    message = fields.get("message") or fields.get("Message")
    return narrowed(error_class(status, code), str(message))(
        str(message) if message else f"HTTP {status}: {excerpt(body) or 'no text'}",
        status_code=status,
        code=code,
        retry_after=retry_after(headers),
    )


def stream_error(code: str, payload: Mapping[str, Any]) -> APIError:
    """Return the error for an exception inside a stream."""
    status = _STATUS.get(code[:1].lower() + code[1:])
    text = (
        payload.get("message") or payload.get("originalMessage") or "the provider reported an error"
    )
    cls = narrowed(error_class(status, code), str(text)) if status else InternalServerError
    return cls(f"{code}: {text}", status_code=status, code=code)


def document_error(document: Any) -> APIError:
    """Return the error that a server or a proxy writes as JSON in place of a stream's event."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    fields = document if isinstance(document, dict) else {}
    word = fields.get("__type")
    if isinstance(word, str):
        return stream_error(word.rpartition("#")[2], fields)
    if "error" not in fields and (error := vendor_error(fields)):
        return error
    return proxys_error({"message": fields.get("Message"), **fields})
