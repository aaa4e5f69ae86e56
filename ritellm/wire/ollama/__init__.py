"""Ollama's chat API."""

from __future__ import annotations

from ritellm.wire.ollama.decoder import decode_completion
from ritellm.wire.ollama.request import PARAMS, build_request, new_decoder, new_framing
from ritellm.wire.openai_chat.decoder import decode_error

__all__ = [
    "PARAMS",
    "build_request",
    "decode_completion",
    "decode_error",
    "new_decoder",
    "new_framing",
]
