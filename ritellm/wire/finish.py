"""Why a response ended: providers' words become OpenAI's, and blank ones become None. Pure.

Some servers name no reason by a blank text in each chunk. Such a text must not pass for an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.choice import is_blank

# Words that several servers use, beside the words of the dialects. Sources:
# - eos: Together, https://docs.together.ai/reference/chat-completions-1
# - eos_token, stop_sequence: Hugging Face's TGI, `FinishReason` in its OpenAPI document
# - model_length: Mistral, https://docs.mistral.ai/api
# - sensitive: Zhipu, https://docs.bigmodel.cn/api-reference
# - the others: Anthropic's, Cohere's and Google's words, which their gateways pass on
_WORDS: Mapping[str, str] = {
    "COMPLETE": "stop",
    "STOP": "stop",
    "STOP_SEQUENCE": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "MAX_TOKENS": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "model_length": "length",
    "FUNCTION_CALL": "tool_calls",
    "TOOL_CALL": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "RECITATION": "content_filter",
    "SAFETY": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
}
_NONE: Mapping[str, str] = {}


def finish_reason(
    word: Any, words: Mapping[str, str] = _NONE, *, called: bool = False
) -> str | None:
    """Return OpenAI's word for a provider's, or None if it is blank.

    `words` holds the dialect's own. An unknown word passes unchanged, rather than as a false
    "stop". With `called`, the response has tool calls, and "stop" becomes "tool_calls".
    """
    if is_blank(word):
        return None
    word = word if isinstance(word, str) else str(word)
    ours = words.get(word) or _WORDS.get(word, word)
    return "tool_calls" if called and ours == "stop" else ours
