"""Gemini's generateContent API."""

from __future__ import annotations

from ritellm.wire.errors.google import decode_error
from ritellm.wire.gemini.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.gemini.request import build_request

__all__ = [
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
