"""OpenAI's Chat Completions API, which many providers speak."""

from __future__ import annotations

from ritellm.wire.errors.openai import decode_error
from ritellm.wire.openai_chat.decoder import decode_completion, new_decoder, new_framing
from ritellm.wire.openai_chat.request import build_request

__all__ = [
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
