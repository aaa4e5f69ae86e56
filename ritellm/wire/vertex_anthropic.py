"""Claude on Vertex AI: Anthropic's dialect at Google's address, with Google's credentials.

https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai. The model is in the
address, and the version of the API is in the body.
"""

from __future__ import annotations

from ritellm.endpoints import Endpoint
from ritellm.types import HttpRequest, Request
from ritellm.wire.anthropic import (
    decode_completion,
    decode_error,
    new_decoder,
    new_framing,
)
from ritellm.wire.anthropic.request import STREAM, body_of
from ritellm.wire.google import address
from ritellm.wire.request import in_path, post

__all__ = ["build_request", "decode_completion", "decode_error", "new_decoder", "new_framing"]

VERSION = "vertex-2023-10-16"


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    verb = "streamRawPredict" if request.stream else "rawPredict"
    in_path(request.model)  # the whole name is checked, and its last part is sent
    name = request.model.rpartition("/")[2]
    url = address(endpoint.base_url, f"publishers/anthropic/models/{name}", verb)
    body = {"anthropic_version": VERSION, **body_of(request)}
    return post(url, body, request, endpoint, STREAM)
