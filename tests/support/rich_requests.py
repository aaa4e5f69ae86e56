"""A rich chat request as JSON: messages of each role, and the parameters of OpenAI's chat API."""

from __future__ import annotations

from typing import Any

from rich_answers import CALL

PNG, PDF = "data:image/png;base64,QQ==", "data:application/pdf;base64,QQ=="
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    *(
        {"role": "user", "content": [part]}
        for part in (
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "file", "file": {"file_data": PDF, "filename": "a"}},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
        )
    ),
    {
        "role": "assistant",
        "content": "Hm",
        "tool_calls": [CALL],
        "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
        "provider_specific_fields": {"layout": [{"from": "content", "length": 2}]},
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    {"role": "user", "content": "Hi"},
]
PARAMS: dict[str, Any] = {
    "extra_body": {"x": {"y": 1}},
    "frequency_penalty": 0.1,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "max_completion_tokens": 9,
    "max_tokens": 9,
    "metadata": {"a": "b"},
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "p"},
    "presence_penalty": 0.1,
    "reasoning_effort": "low",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
    },
    "seed": 1,
    "service_tier": "auto",
    "stop": ["x"],
    "store": False,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "tools": [TOOL],
    "top_k": 3,
    "top_logprobs": 2,
    "top_p": 0.5,
    "user": "u",
    "web_search_options": {"search_context_size": "low"},
}
