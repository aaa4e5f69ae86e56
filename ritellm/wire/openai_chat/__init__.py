"""OpenAI's Chat Completions API, which many providers speak."""

from __future__ import annotations

from ritellm.wire.openai_chat.decoder import (
    PATH,
    build_request,
    decode_completion,
    decode_error,
    new_decoder,
    new_framing,
)

__all__ = [
    "PATH",
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
