"""Parse JSON bodies, or raise an error that shows what arrived."""

from __future__ import annotations

from typing import Any

import orjson

from ritellm.errors import APIResponseValidationError


def parse_json(data: bytes) -> Any:
    """Return the JSON in `data`; bytes that are not UTF-8 are replaced."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return orjson.loads(data.decode("utf-8", "replace"))
        except orjson.JSONDecodeError as error:
            raise APIResponseValidationError(f"broken JSON ({error}): {data[:200]!r}") from None


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in the data of an event."""
    payload = parse_json(data)
    if not isinstance(payload, dict):
        raise APIResponseValidationError(f"not an event of this dialect: {data[:200]!r}")
    return payload
