"""OpenAI's Responses API."""

from __future__ import annotations

from ritellm.wire.errors.openai import decode_error
from ritellm.wire.openai_responses.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.openai_responses.request import (
    PARAMS,
    PATH,
    build_request,
    cancel_request,
    cancelled,
    listen_again,
    resume_request,
)

__all__ = [
    "PARAMS",
    "PATH",
    "build_request",
    "cancel_request",
    "cancelled",
    "decode_completion",
    "decode_error",
    "listen_again",
    "new_decoder",
    "new_framing",
    "resume_request",
]
