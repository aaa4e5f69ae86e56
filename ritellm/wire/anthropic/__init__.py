"""Anthropic's Messages API."""

from __future__ import annotations

from ritellm.wire.anthropic.decoder import decode_completion, decode_error, new_decoder, new_framing
from ritellm.wire.anthropic.request import PARAMS, STREAM, build_request

__all__ = [
    "PARAMS",
    "STREAM",
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
