"""Cohere's chat API, version 2."""

from __future__ import annotations

from ritellm.wire.cohere.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.cohere.request import build_request
from ritellm.wire.errors.openai import decode_error

__all__ = [
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
