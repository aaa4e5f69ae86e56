"""A rich answer in each dialect, as JSON: text, thoughts, tool calls, logprobs, usage, an error."""

from __future__ import annotations

from typing import Any

from odd_values import chat_events, events, frames, lines

CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a": 1}'},
}
CHAT_USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 7,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72], "top_logprobs": []}]}


def _chat(part: str, delta: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, part: delta, "finish_reason": reason, **more}
    return {"id": "x", "object": "o", "created": 1, "model": "m", "choices": [choice]}


CHAT_STREAM = [
    _chat("delta", {"role": "assistant", "content": "", "reasoning_content": "Hm"}),
    _chat("delta", {"content": "Hi"}, logprobs=LOGPROBS),
    _chat("delta", {"content": [{"type": "text", "text": "a"}, {"type": "thinking"}]}),
    _chat("delta", {"tool_calls": [CALL], "annotations": [{"type": "url_citation"}]}),
    _chat("delta", {"audio": {"id": "a", "data": "QQ==", "transcript": "A"}}),
    _chat("delta", {"thinking_blocks": [{"type": "thinking", "index": 0, "thinking": "t"}]}),
    _chat("delta", {"function_call": {"name": "f", "arguments": "{}"}}),
    _chat("delta", {}, "tool_calls"),
    {"id": "x", "choices": [], "usage": CHAT_USAGE, "service_tier": "flex"},
]
CHAT_WHOLE = {
    **_chat(
        "message",
        {"role": "assistant", "content": "Hi", "tool_calls": [CALL], "refusal": None},
        "tool_calls",
        logprobs=LOGPROBS,
    ),
    "usage": CHAT_USAGE,
    "service_tier": "flex",
}

BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
    {"type": "text", "text": "Hi", "citations": [{"url": "https://a.example", "title": "t"}]},
    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}},
]
CLAUDE_USAGE = {
    "input_tokens": 4,
    "output_tokens": 7,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 2,
    "cache_creation": {"ephemeral_1h_input_tokens": 1},
    "service_tier": "standard",
}
CLAUDE_WHOLE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": CLAUDE_USAGE,
}


def _claude(kind: str, index: int, **fields: Any) -> dict[str, Any]:
    return {"type": f"content_block_{kind}", "index": index, **fields}


CLAUDE_STREAM = [
    {"type": "message_start", "message": {**CLAUDE_WHOLE, "content": [], "stop_reason": None}},
    _claude("start", 0, content_block={"type": "thinking", "thinking": ""}),
    _claude("delta", 0, delta={"type": "thinking_delta", "thinking": "Hm"}),
    _claude("delta", 0, delta={"type": "signature_delta", "signature": "s"}),
    _claude("stop", 0),
    _claude("start", 1, content_block={"type": "text", "text": ""}),
    _claude("delta", 1, delta={"type": "text_delta", "text": "Hi"}),
    _claude("delta", 1, delta={"type": "citations_delta", "citation": {"url": "https://a"}}),
    _claude("stop", 1),
    _claude("start", 2, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}),
    _claude("delta", 2, delta={"type": "input_json_delta", "partial_json": '{"a": 1}'}),
    _claude("stop", 2),
    _claude("start", 3, content_block={"type": "server_tool_use", "id": "t", "input": {}}),
    _claude("delta", 3, delta={"type": "input_json_delta", "partial_json": "{}"}),
    _claude("stop", 3),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2}},
    },
    {"type": "message_stop"},
]

GEMINI: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Hm", "thought": True},
                    {"text": "Hi", "thoughtSignature": "s"},
                    {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
                    {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                ],
            },
            "index": 0,
            "finishReason": "STOP",
            "avgLogprobs": -0.1,
            "logprobsResult": {
                "chosenCandidates": [{"token": "Hi", "logProbability": -0.1}],
                "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.1}]}],
            },
            "groundingMetadata": {
                "groundingChunks": [{"web": {"uri": "https://a.example", "title": "t"}}],
                "groundingSupports": [
                    {"segment": {"startIndex": 0, "endIndex": 2}, "groundingChunkIndices": [0]}
                ],
            },
            "citationMetadata": {"citations": [{"startIndex": 0, "endIndex": 1, "uri": "u"}]},
        }
    ],
    "promptFeedback": {"safetyRatings": []},
    "usageMetadata": {
        "promptTokenCount": 9,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 2,
        "toolUsePromptTokenCount": 1,
        "totalTokenCount": 17,
        "cachedContentTokenCount": 3,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
        "trafficType": "ON_DEMAND",
    },
    "modelVersion": "gemini-x",
    "responseId": "r1",
    "createTime": "2026-01-01T00:00:00Z",
}

RESPONSES_ITEMS: list[dict[str, Any]] = [
    {
        "type": "reasoning",
        "id": "rs",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "e",
    },
    {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": "Hi",
                "annotations": [{"type": "url_citation", "url": "https://a", "start_index": 0}],
                "logprobs": LOGPROBS["content"],
            },
            {"type": "refusal", "refusal": "no"},
        ],
    },
    {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "web_search_call", "id": "ws", "status": "completed"},
]
RESPONSE: dict[str, Any] = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": RESPONSES_ITEMS,
    "incomplete_details": None,
    "service_tier": "flex",
    "usage": {
        "input_tokens": 9,
        "output_tokens": 7,
        "total_tokens": 16,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 2},
    },
}


def _response(kind: str, number: int, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "sequence_number": number, **fields}


RESPONSES_STREAM = [
    _response("created", 0, response={**RESPONSE, "output": [], "status": "in_progress"}),
    _response("output_item.added", 1, output_index=0, item={"type": "reasoning", "id": "rs"}),
    _response("reasoning_summary_text.delta", 2, item_id="rs", output_index=0, delta="Hm"),
    _response("output_item.done", 3, output_index=0, item=RESPONSES_ITEMS[0]),
    _response("output_item.added", 4, output_index=1, item={**RESPONSES_ITEMS[1], "content": []}),
    _response(
        "output_text.delta",
        5,
        item_id="m",
        output_index=1,
        content_index=0,
        delta="Hi",
        logprobs=LOGPROBS["content"],
    ),
    _response(
        "output_text.annotation.added",
        6,
        output_index=1,
        content_index=0,
        annotation={"type": "url_citation", "url": "https://a"},
    ),
    _response("output_item.done", 7, output_index=1, item=RESPONSES_ITEMS[1]),
    _response("output_item.added", 8, output_index=2, item={**RESPONSES_ITEMS[2], "arguments": ""}),
    _response("function_call_arguments.delta", 9, item_id="fc", output_index=2, delta="{}"),
    _response("output_item.done", 10, output_index=2, item=RESPONSES_ITEMS[2]),
    _response("completed", 11, response=RESPONSE),
]

COHERE_USAGE = {
    "tokens": {"input_tokens": 9, "output_tokens": 7},
    "billed_units": {"input_tokens": 9, "output_tokens": 7},
    "cached_tokens": 3,
}
COHERE_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CITATION = {"start": 0, "end": 1, "text": "H", "sources": [{"type": "document", "id": "d"}]}
COHERE_WHOLE = {
    "id": "c1",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "tool_plan": "Hm",
        "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}],
        "tool_calls": [COHERE_CALL],
        "citations": [CITATION],
    },
    "logprobs": [{"token_ids": [1], "text": "Hi", "logprobs": [-0.1]}],
    "usage": COHERE_USAGE,
}


def _cohere(kind: str, message: Any, index: int = 0) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


COHERE_STREAM = [
    {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
    _cohere("tool-plan-delta", {"tool_plan": "Hm"}),
    _cohere("content-start", {"content": {"type": "text", "text": ""}}),
    {
        **_cohere("content-delta", {"content": {"text": "Hi"}}),
        "logprobs": {"token_ids": [1], "text": "Hi", "logprobs": [-0.1]},
    },
    {"type": "content-end", "index": 0},
    _cohere("tool-call-start", {"tool_calls": COHERE_CALL}),
    _cohere("tool-call-delta", {"tool_calls": {"function": {"arguments": "{}"}}}),
    {"type": "tool-call-end", "index": 0},
    _cohere("citation-start", {"citations": CITATION}),
    {"type": "citation-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": COHERE_USAGE}},
]

BEDROCK_USAGE = {
    "inputTokens": 9,
    "outputTokens": 7,
    "totalTokens": 16,
    "cacheReadInputTokens": 3,
    "cacheWriteInputTokens": 1,
}
BEDROCK_CONTENT: list[dict[str, Any]] = [
    {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
    {"text": "Hi"},
    {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
    {"citationsContent": {"content": [{"text": "Hi"}], "citations": [{"title": "t"}]}},
]
BEDROCK_WHOLE = {
    "output": {"message": {"role": "assistant", "content": BEDROCK_CONTENT}},
    "stopReason": "tool_use",
    "usage": BEDROCK_USAGE,
    "metrics": {"latencyMs": 1},
    "serviceTier": {"type": "flex"},
}


def _bedrock(index: int, delta: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"delta": delta, "contentBlockIndex": index}


BEDROCK_STREAM: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    _bedrock(0, {"reasoningContent": {"text": "Hm"}}),
    _bedrock(0, {"reasoningContent": {"signature": "s"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    _bedrock(1, {"text": "Hi"}),
    _bedrock(1, {"citation": {"title": "t"}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    (
        "contentBlockStart",
        {"start": {"toolUse": {"toolUseId": "t", "name": "f"}}, "contentBlockIndex": 2},
    ),
    _bedrock(2, {"toolUse": {"input": "{}"}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("messageStop", {"stopReason": "tool_use", "additionalModelResponseFields": {"a": 1}}),
    (
        "metadata",
        {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 1}, "serviceTier": {"type": "flex"}},
    ),
]


def _ollama(message: Any, **end: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", **message},
        "done": False,
        **end,
    }


OLLAMA_CALL = {"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
OLLAMA_END = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 5,
    "prompt_eval_count": 9,
    "eval_count": 7,
}
OLLAMA_WHOLE = _ollama(
    {"content": "Hi", "thinking": "Hm", "tool_calls": [OLLAMA_CALL]},
    logprobs=[{"token": "Hi", "logprob": -0.1}],
    **OLLAMA_END,
)
OLLAMA_STREAM = [
    _ollama({"content": "", "thinking": "Hm"}),
    _ollama({"content": "Hi"}, logprobs=[{"token": "Hi", "logprob": -0.1}]),
    _ollama({"content": "", "tool_calls": [OLLAMA_CALL]}),
    _ollama({"content": ""}, **OLLAMA_END),
]

# dialect: (the documents of a stream, how they are framed, its type, the whole answer)
SSE = "text/event-stream"
ANSWERS: dict[str, tuple[list[Any], Any, str, Any]] = {
    "openai_chat": (CHAT_STREAM, chat_events, SSE, CHAT_WHOLE),
    "openai_responses": (RESPONSES_STREAM, events, SSE, RESPONSE),
    "anthropic": (CLAUDE_STREAM, events, SSE, CLAUDE_WHOLE),
    "gemini": ([GEMINI], events, SSE, GEMINI),
    "cohere": (COHERE_STREAM, events, SSE, COHERE_WHOLE),
    "bedrock": (
        BEDROCK_STREAM,
        frames,
        "application/vnd.amazon.eventstream",
        BEDROCK_WHOLE,
    ),
    "ollama": (OLLAMA_STREAM, lines, "application/x-ndjson", OLLAMA_WHOLE),
}

# Error bodies, outside a stream and inside.
ERRORS: dict[str, Any] = {
    "openai_chat": {
        "error": {"message": "no", "type": "t", "code": "c", "param": None, "status_code": 400}
    },
    "anthropic": {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "no", "details": {"error_code": "c"}},
        "request_id": "r",
    },
    "gemini": {
        "error": {
            "code": 429,
            "message": "no",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"},
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "r"},
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{"quotaId": "q"}],
                },
            ],
        }
    },
    "openai_responses": {"error": {"message": "no", "type": "t", "code": "server_error"}},
    "cohere": {"id": "c1", "message": "no"},
    "bedrock": {"__type": "a#ThrottlingException", "message": "no"},
    "ollama": {"error": "no", "status_code": 500},
}
