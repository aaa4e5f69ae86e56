"""Prompts that are too long and content that is refused, where only the provider's words tell."""

from __future__ import annotations

import json

import pytest
from replay import answered, sse

from ritellm.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    RateLimitError,
)

LITELLM = "litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException - ..."
VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested 4200 tokens (4000"
    " in the messages, 200 in the completion). Please reduce the length of the messages."
)


def chat(message, **fields):
    return {"error": {"message": message, **fields}}


# dialect, the body of a 400
TOO_LONG = {
    "anthropic": (
        "anthropic",
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "prompt is too long: 3750 tokens > 500 maximum",
            },
        },
    ),
    "anthropic, limit": (
        "anthropic",
        {
            "error": {
                "type": "invalid_request_error",
                "message": "input length and `max_tokens` exceed context limit: 19 + 2 > 20, ...",
            }
        },
    ),
    "gemini": (
        "gemini",
        {
            "error": {
                "code": 400,
                "status": "INVALID_ARGUMENT",
                "message": "The input token count (3750) exceeds the maximum number of tokens"
                " allowed (500).",
            }
        },
    ),
    "vertex": (
        "vertex_gemini",
        chat(
            "Unable to submit request because the input token count is 120 but model only supports"
            " up to 100.",
            code=400,
            status="INVALID_ARGUMENT",
        ),
    ),
    "claude on vertex": (
        "vertex_anthropic",
        chat("prompt is too long: 2 tokens > 1 maximum", type="invalid_request_error"),
    ),
    "bedrock": ("bedrock", {"message": "Input is too long for requested model."}),
    "claude on bedrock": (
        "bedrock",
        {
            "message": "The model returned the following errors: prompt is too long: 2 tokens > 1"
            " maximum"
        },
    ),
    "openrouter": (
        "openai_chat",
        chat(
            "This endpoint's maximum context length is 8192 tokens. However, you requested about"
            " 9000 tokens",
            code=400,
        ),
    ),
    "vllm": (
        "openai_chat",
        {"object": "error", "message": VLLM, "type": "BadRequestError", "code": 400},
    ),
    "vllm, newer": ("openai_chat", chat(VLLM, type="BadRequestError", param=None, code=400)),
    "litellm's proxy": ("openai_chat", chat(LITELLM, type=None, param=None, code="400")),
    "xai": ("openai_chat", {"error": "This model's maximum prompt length is 131072 but ..."}),
    "mistral": (
        "openai_chat",
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with"
            " 32768 maximum context length",
            "type": "invalid_request_error",
        },
    ),
    "sglang": (
        "openai_chat",
        {"message": "The input (9 tokens) is longer than the model's context length (8 tokens)."},
    ),
    "moonshot": ("openai_chat", chat("Invalid request: Your request exceeded model token limit")),
    "cohere": (
        "cohere",
        {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 ..."},
    ),
    "azure": ("azure_chat", chat(VLLM, code="invalid_request_error")),
    "responses": (
        "openai_responses",
        chat("Your input exceeds the context window of this model.", code=None),
    ),
}


def refused(wire, body, status=400):
    return answered(wire, json.dumps(body).encode(), "application/json", status).error


@pytest.mark.parametrize(("wire", "body"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_prompt_that_is_too_long_has_its_own_class_in_every_dialect(wire, body):
    error = refused(wire, body)
    assert type(error) is ContextWindowExceededError
    assert not error.retryable
    assert error.status_code == 400


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("anthropic", chat("Output blocked by content filtering policy", type="api_error")),
        ("openai_chat", chat("Input data may contain inappropriate content.")),
        ("openai_chat", chat("Content Exists Risk", type="invalid_request_error")),
        ("openai_chat", chat("litellm.ContentPolicyViolationError: refused", code="400")),
        ("bedrock", {"message": "This request has been blocked by our content filters."}),
    ],
)
def test_refused_content_has_its_own_class(wire, body):
    if wire == "anthropic":
        body["error"]["type"] = "invalid_request_error"
    error = refused(wire, body)
    assert type(error) is ContentPolicyViolationError


def test_the_same_words_inside_a_stream_count():
    for fields in ({}, {"code": 400}, {"code": "400"}, {"type": "invalid_request_error"}):
        error = answered("openai_chat", sse(chat(VLLM, **fields))).error
        assert type(error) is ContextWindowExceededError
        assert not error.retryable


@pytest.mark.parametrize(
    ("status", "fields", "cls"),
    [
        (429, {}, RateLimitError),
        (500, {}, InternalServerError),
        (400, {"code": "content_filter"}, ContentPolicyViolationError),
    ],
)
def test_the_status_and_the_code_come_first(status, fields, cls):
    assert type(refused("openai_chat", chat(VLLM, **fields), status)) is cls


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too long",
        "context",
        "the tool f says: ContextWindowExceededError",
        "invalid value " + "x" * 3000 + " prompt is too long",
        None,
        {"prompt": "is too long"},
    ],
)
def test_other_words_stay_a_bad_request(message):
    assert type(refused("openai_chat", chat(message))) is BadRequestError
