"""OpenAI's Responses API."""

from __future__ import annotations

from ritellm.wire.errors.openai import decode_error
from ritellm.wire.openai_responses.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.openai_responses.request import build_request, cancel_request, resume_request

__all__ = [
    "build_request",
    "cancel_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
    "resume_request",
]
