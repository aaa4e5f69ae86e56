"""OpenAI's Responses on Azure: other addresses and headers, the same bodies. No I/O, no clock."""

from __future__ import annotations

from ritellm.endpoints import Endpoint
from ritellm.types import HttpRequest, Request
from ritellm.wire import openai_responses
from ritellm.wire.azure_chat import address, as_azure
from ritellm.wire.openai_responses import (
    decode_completion,
    decode_error,
    new_decoder,
    new_framing,
)
from ritellm.wire.openai_responses.request import PATH, cancelled, resumed

__all__ = [
    "build_request",
    "cancel_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
    "resume_request",
]


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`; the model is a deployment's name."""
    return as_azure(openai_responses, request, endpoint, address(endpoint, PATH))


def resume_request(request: Request, endpoint: Endpoint, id: str, after: int) -> HttpRequest:
    """Return the GET that resumes background response `id` after event `after`."""
    return resumed(build_request(request, endpoint), id, after)


def cancel_request(request: Request, endpoint: Endpoint, id: str) -> HttpRequest:
    """Return the POST that cancels background response `id`."""
    return cancelled(build_request(request, endpoint), id)
