"""Gemini's generateContent API."""

from __future__ import annotations

from ritellm.wire.gemini.decoder import decode_completion, decode_error, new_decoder, new_framing
from ritellm.wire.gemini.request import PARAMS, STREAM, build_request, verb

__all__ = [
    "PARAMS",
    "STREAM",
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
    "verb",
]
