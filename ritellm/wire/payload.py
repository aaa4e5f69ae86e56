"""Parse JSON bodies, or raise an error that shows what arrived."""

from __future__ import annotations

from typing import Any

import orjson

from ritellm.errors import APIResponseValidationError
from ritellm.wire import repairs


class HalfCharacterError(APIResponseValidationError):
    """A text has half a character; the reader of the stream may have the other half."""


def parse_json(data: bytes) -> Any:
    """Return the JSON in `data`; bytes that are not UTF-8 are replaced, and NaN becomes null."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return repairs.parse(data)
    except orjson.JSONDecodeError as error:
        halves = repairs.has_half_character(data)
        cls = HalfCharacterError if halves else APIResponseValidationError
        raise cls(f"broken JSON ({error}): {data[:200]!r}") from None


def parse_document(data: bytes | bytearray) -> Any:
    """Return the JSON in `data`, a whole response; raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        document = repairs.without_terminator(bytes(data))
        return repairs.parse(repairs.with_whole_characters(document))


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in the data of an event, or in a list of one: Google's errors."""
    try:
        payload = orjson.loads(data)  # what `parse_json` does first, without the call
    except orjson.JSONDecodeError:
        payload = parse_json(data)
    if not isinstance(payload, dict):
        if isinstance(payload, list) and len(payload) == 1 and isinstance(payload[0], dict):
            return payload[0]
        raise APIResponseValidationError(f"not an event of this dialect: {data[:200]!r}")
    return payload
