"""The two kinds of 400 that only the provider's prose tells apart. No I/O and no clock.

Errors are classified by status and code. This table is the one exception: programs shorten a
conversation that is too long, and most providers give no code for it. A phrase counts only if
status and code say no more than "bad request", and it must be the provider's fixed wording. Each
one has a comment with its source; litellm's and pi's tables (`exception_mapping_utils.py`,
`overflow.ts`) list most of them too.
"""

from __future__ import annotations

import re

from ritellm.errors import (
    APIError,
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
)

_CONTEXT = (
    r"\Alitellm\.ContextWindowExceededError",  # litellm's proxy, before the provider's own message
    r"prompt is too long",  # Anthropic, also on Bedrock and Vertex AI; Fireworks
    r"input length and `max_tokens` exceed context limit",  # Anthropic
    r"input token count\b.{0,60} exceeds the maximum number of tokens",  # Gemini
    r"input token count is \d+ but model only supports up to",  # Vertex AI
    r"input is too long for requested model",  # Bedrock
    r"number of input tokens exceeds maximum length",  # Bedrock's Nova
    r"maximum context length (?:is|of) \d+",  # vLLM, OpenRouter, DeepSeek, Llama on Bedrock
    r"\d+ maximum context length",  # Mistral: "too large for model with 32768 maximum context"
    r"maximum prompt length is \d+",  # xAI
    r"(?:the input|input tokens?) .{0,40}longer than the model's context length",  # SGLang
    r"exceeds the available context size",  # llama.cpp
    r"greater than the context length",  # LM Studio
    r"loaded with context length of only \d+",  # LM Studio
    r"exceeds the context window",  # OpenAI's Responses API
    r"context window exceeds limit",  # MiniMax
    r"exceeded model token limit",  # Moonshot
    r"range of input length should be \[",  # DashScope
    r"total number of tokens in the prompt cannot exceed",  # Cohere
    r"reduce the length of the (?:messages|prompt)",  # Groq, Cerebras, OpenAI's older models
)
_POLICY = (
    r"\Alitellm\.ContentPolicyViolationError",  # litellm's proxy
    r"output blocked by content filtering policy",  # Anthropic
    r"blocked by our content filters",  # Bedrock's Nova and Titan
    r"data may contain inappropriate content",  # DashScope: "Input data may ..."
    r"triggering .{0,20}content management policy",  # Azure
    r"rejected as a result of our safety system",  # OpenAI
    r"content exists risk",  # DeepSeek
    r"rejected because it was considered high risk",  # Moonshot
    r"content violates usage guidelines",  # xAI
)
_KINDS = (
    (ContextWindowExceededError, re.compile("|".join(_CONTEXT), re.IGNORECASE | re.DOTALL)),
    (ContentPolicyViolationError, re.compile("|".join(_POLICY), re.IGNORECASE | re.DOTALL)),
)
# Longer messages quote the request, whose words must not count.
_LONGEST = 2000


def narrowed(cls: type[APIError], message: str) -> type[APIError]:
    """Return the class of an error with `message`, more exact than `cls` if a phrase says so.

    `APIError` means that status and code say nothing.
    """
    if cls is not BadRequestError and cls is not APIError:
        return cls
    head = message[:_LONGEST]
    return next((named for named, phrases in _KINDS if phrases.search(head)), cls)
