"""Bedrock's Converse API."""

from __future__ import annotations

from ritellm.wire.bedrock.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.bedrock.errors import decode_error
from ritellm.wire.bedrock.request import PARAMS, build_request

__all__ = [
    "PARAMS",
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
