"""The end of a response: its finish_reason, its error and its usage. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.errors import APIError, APIResponseValidationError
from ritellm.wire.errors.openai import stream_error
from ritellm.wire.finish import finish_reason

Payload = Mapping[str, Any]

# By `incomplete_details.reason`, or by the status without one.
_FINISH_REASONS = {"completed": "stop", "incomplete": "length", "max_output_tokens": "length"}


def finish_reason_of(response: Payload, called: bool) -> str:
    """Return chat's finish_reason for the response; an unknown one passes unchanged."""
    status = response.get("status") or "completed"
    details = None if status == "completed" else response.get("incomplete_details")
    reason = (details or {}).get("reason") or status
    return finish_reason(reason, _FINISH_REASONS, called=called) or "stop"


def failure_of(response: Payload) -> APIError | None:
    """Return the error of a response that has failed or is unfinished, or None."""
    status = response.get("status")
    if status == "failed":
        return stream_error({"error": response.get("error") or {}})
    if status == "cancelled":
        return APIError("the response was cancelled", code="cancelled")
    if status in ("queued", "in_progress"):
        remedy = f"poll GET /responses/{response.get('id')} until it is completed"
        return APIResponseValidationError(f"the response is only {status}: {remedy}")
    return None


def usage_of(usage: Any) -> dict[str, Any] | None:
    """Return usage under chat's names; other fields keep their names."""
    if not isinstance(usage, Mapping):
        return None
    return {_USAGE.get(name) or name: value for name, value in usage.items()}


_USAGE = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
