"""Gemini on Vertex AI: the same dialect at another address, with Google's credentials.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
"""

from __future__ import annotations

from ritellm.endpoints import Endpoint
from ritellm.types import HttpRequest, Request
from ritellm.wire.gemini import (
    decode_completion,
    decode_error,
    new_decoder,
    new_framing,
)
from ritellm.wire.gemini.request import STREAM, body_of, verb
from ritellm.wire.google import address
from ritellm.wire.request import post

__all__ = ["build_request", "decode_completion", "decode_error", "new_decoder", "new_framing"]


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST of `request`; a model with a slash is a whole path."""
    model = request.model
    path = model if "/" in model else f"publishers/google/models/{model}"
    url = address(endpoint.base_url, path, verb(request))
    return post(url, body_of(request), request, endpoint, STREAM)
