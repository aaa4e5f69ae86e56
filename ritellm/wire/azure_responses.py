"""OpenAI's Responses as Azure serves them. No I/O and no clock."""

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
    """Return the POST that asks `request` of `endpoint`; the model is a deployment's name."""
    return as_azure(openai_responses, request, endpoint, address(endpoint, PATH))


def resume_request(request: Request, endpoint: Endpoint, id: str, after: int) -> HttpRequest:
    """Return the GET that listens again to background response `id`, from behind event `after`."""
    return resumed(build_request(request, endpoint), id, after)


def cancel_request(request: Request, endpoint: Endpoint, id: str) -> HttpRequest:
    """Return the POST that ends background response `id`."""
    return cancelled(build_request(request, endpoint), id)
