"""Anthropic's Messages API."""

from __future__ import annotations

from ritellm.wire.anthropic.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.anthropic.request import build_request
from ritellm.wire.errors.google import decode_error

__all__ = [
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
