"""Gemini's generateContent API."""

from __future__ import annotations

from ritellm.wire.gemini.decoder import (
    STREAM,
    build_request,
    decode_completion,
    decode_error,
    new_decoder,
    new_framing,
    verb,
)
from ritellm.wire.gemini.request import PARAMS

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
