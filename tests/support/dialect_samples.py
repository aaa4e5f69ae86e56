"""The same answer, "Hello there", in each dialect: streamed and whole."""

from __future__ import annotations

import struct
import zlib

import orjson
from fake_server import sse

EVENTS = "text/event-stream"


def frame(kind, payload):
    """One frame of an AWS event stream."""
    headers = b"".join(
        bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in (
            (b":message-type", b"event"),
            (b":event-type", kind.encode()),
            (b":content-type", b"application/json"),
        )
    )
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def typed(*events):
    """Events whose name is the `type` of their JSON."""
    return b"".join(sse(event, event=event["type"]) for event in events)


ANTHROPIC_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
ANTHROPIC_STREAM = typed(
    {
        "type": "message_start",
        "message": {**ANTHROPIC_MESSAGE, "content": [], "stop_reason": None},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        for text in ("Hello ", "there")
    ),
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
)


def gemini(text, reason=None):
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x"}


GEMINI_STREAM = sse(gemini("Hello "), newline="\r\n") + sse(gemini("there", "STOP"), newline="\r\n")
OUTPUT = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-x",
    "output": [OUTPUT],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}
RESPONSES_STREAM = typed(
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "output": []}},
    {
        "type": "response.output_item.added",
        "sequence_number": 1,
        "output_index": 0,
        "item": {**OUTPUT, "content": []},
    },
    *(
        {
            "type": "response.output_text.delta",
            "sequence_number": 2 + n,
            "item_id": "m",
            "output_index": 0,
            "content_index": 0,
            "delta": text,
        }
        for n, text in enumerate(("Hello ", "there"))
    ),
    {
        "type": "response.output_item.done",
        "sequence_number": 4,
        "output_index": 0,
        "item": OUTPUT,
    },
    {"type": "response.completed", "sequence_number": 5, "response": RESPONSE},
)
COHERE_USAGE = {"tokens": {"input_tokens": 3, "output_tokens": 2}}
COHERE_STREAM = typed(
    {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
    {
        "type": "content-start",
        "index": 0,
        "delta": {"message": {"content": {"type": "text", "text": ""}}},
    },
    *(
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}}
        for text in ("Hello ", "there")
    ),
    {"type": "content-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
)
BEDROCK_USAGE = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
BEDROCK_STREAM = b"".join(
    (
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"delta": {"text": "Hello "}, "contentBlockIndex": 0}),
        frame("contentBlockDelta", {"delta": {"text": "there"}, "contentBlockIndex": 0}),
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 1}}),
    )
)


def ollama(text, **end):
    return {"model": "m", "message": {"role": "assistant", "content": text}, "done": False, **end}


OLLAMA_END = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chat(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


CHAT_STREAM = b"".join(
    (
        sse(chat({"role": "assistant", "content": "Hello "})),
        sse(chat({"content": "there"})),
        sse(chat({}, "stop")),
        sse({**chat({}), "choices": [], "usage": CHAT_USAGE}),
        b"data: [DONE]\n\n",
    )
)
CHAT_WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "finish_reason": "stop",
        }
    ],
    "usage": CHAT_USAGE,
}

# model: (what a stream is, its type, the whole answer, the path that is asked)
DIALECTS = {
    "openai/m": (CHAT_STREAM, EVENTS, CHAT_WHOLE, "/chat/completions"),
    "azure/m": (CHAT_STREAM, EVENTS, CHAT_WHOLE, "/openai/v1/chat/completions"),
    "openai/responses/m": (RESPONSES_STREAM, EVENTS, RESPONSE, "/responses"),
    "anthropic/claude-x": (ANTHROPIC_STREAM, EVENTS, ANTHROPIC_MESSAGE, "/messages"),
    "gemini/gemini-x": (GEMINI_STREAM, EVENTS, gemini("Hello there", "STOP"), "/models/gemini-x:"),
    "vertex_ai/gemini-x": (
        GEMINI_STREAM,
        EVENTS,
        gemini("Hello there", "STOP"),
        "/publishers/google/models/gemini-x:",
    ),
    "vertex_ai/claude-x": (
        ANTHROPIC_STREAM,
        EVENTS,
        ANTHROPIC_MESSAGE,
        "/publishers/anthropic/models/claude-x:",
    ),
    "cohere/command-x": (
        COHERE_STREAM,
        EVENTS,
        {
            "id": "c1",
            "finish_reason": "COMPLETE",
            "message": {
                "role": "assistant",
                "content": [{"type": "text", "text": "Hello there"}],
            },
            "usage": COHERE_USAGE,
        },
        "/chat",
    ),
    "bedrock/amazon.nova-x:0": (
        BEDROCK_STREAM,
        "application/vnd.amazon.eventstream",
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello there"}]}},
            "stopReason": "end_turn",
            "usage": BEDROCK_USAGE,
        },
        "/model/amazon.nova-x%3A0/converse",
    ),
    "ollama/m": (
        b"\n".join(
            map(orjson.dumps, (ollama("Hello "), ollama("there"), ollama("", **OLLAMA_END)))
        ),
        "application/x-ndjson",
        ollama("Hello there", **OLLAMA_END),
        "/api/chat",
    ),
}
