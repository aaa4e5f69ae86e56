"""Long streamed responses of each dialect, in the shapes that the providers send."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

# A model that ritellm sends to a server of the dialect.
MODELS = {
    "openai_chat": "openai/gpt-4o-mini",
    "openai_responses": "openai/responses/gpt-5",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "cohere": "cohere/command-a-03-2025",
    "bedrock": "bedrock/us.amazon.nova-pro-v1:0",
    "ollama": "ollama/llama3.2",
}
CONTENT_TYPES = {
    "bedrock": "application/vnd.amazon.eventstream",
    "ollama": "application/x-ndjson",
}


def body(dialect: str, chunks: int) -> bytes:
    """Return a response of `chunks` texts."""
    return b"".join(_WRITERS[dialect](f" w{n}" for n in range(chunks)))


def _openai_chat(texts: Iterable[str]) -> Iterator[bytes]:
    head = {
        "id": "chatcmpl-D8Z5oo6uDh67AD85p73ksdT1KxhE0",
        "object": "chat.completion.chunk",
        "created": 1770933892,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_de604bd877",
    }

    def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**head, "choices": [choice]})

    yield event({"role": "assistant", "content": "", "refusal": None})
    yield from (event({"content": text}) for text in texts)
    yield event({}, "stop")
    yield b"data: [DONE]\n\n"


def _openai_responses(texts: Iterable[str]) -> Iterator[bytes]:
    response: dict[str, Any] = {
        "id": "resp_00592e63e61b66660169fab1b9f8e481",
        "object": "response",
        "created_at": 1778037177,
        "status": "in_progress",
        "model": "gpt-5",
        "output": [],
    }
    item = {"id": "msg_1", "type": "message", "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    numbers = iter(range(1 << 40))

    def event(kind: str, **fields: Any) -> bytes:
        return _named({"type": f"response.{kind}", "sequence_number": next(numbers), **fields})

    yield event("created", response=response)
    yield event("output_item.added", output_index=0, item={**item, "role": "assistant"})
    for text in texts:
        yield event("output_text.delta", **place, delta=text, logprobs=[], obfuscation="yoKFv")
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    yield event("completed", response={**response, "status": "completed", "usage": usage})


def _anthropic(texts: Iterable[str]) -> Iterator[bytes]:
    usage = {"input_tokens": 3, "output_tokens": 2}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "usage": usage,
    }
    block = {"type": "text", "text": ""}
    yield _named({"type": "message_start", "message": message})
    yield _named({"type": "content_block_start", "index": 0, "content_block": block})
    for text in texts:
        delta = {"type": "text_delta", "text": text}
        yield _named({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _named({"type": "content_block_stop", "index": 0})
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": ending, "usage": usage})
    yield _named({"type": "message_stop"})


def _gemini(texts: Iterable[str]) -> Iterator[bytes]:
    def event(text: str, number: int, **ending: Any) -> bytes:
        content = {"parts": [{"text": text}], "role": "model"}
        payload = {
            "candidates": [{"content": content, **ending, "index": 0}],
            "usageMetadata": {
                "promptTokenCount": 34,
                "candidatesTokenCount": number,
                "totalTokenCount": 34 + number,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 34}],
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "beHBaJfEMIi-qtsP3769-Q8",
        }
        return _event(payload, newline=b"\r\n")

    for number, text in enumerate(texts):
        yield event(text, number)
    yield event(".", 1, finishReason="STOP")


def _cohere(texts: Iterable[str]) -> Iterator[bytes]:
    def event(kind: str, message: dict[str, Any], **fields: Any) -> bytes:
        return _named({"type": kind, **fields, "delta": {"message": message}})

    yield event("message-start", {"role": "assistant", "content": []}, id="c1")
    yield event("content-start", {"content": {"type": "text", "text": ""}}, index=0)
    yield from (event("content-delta", {"content": {"text": text}}, index=0) for text in texts)
    yield _named({"type": "content-end", "index": 0})
    usage = {"tokens": {"input_tokens": 3, "output_tokens": 2}}
    yield _named({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}})


def _bedrock(texts: Iterable[str]) -> Iterator[bytes]:
    yield _frame("messageStart", {"role": "assistant"})
    for text in texts:
        delta = {"text": text}
        yield _frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta, "p": "abcdefgh"})
    yield _frame("contentBlockStop", {"contentBlockIndex": 0})
    yield _frame("messageStop", {"stopReason": "end_turn"})
    usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
    yield _frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})


def _ollama(texts: Iterable[str]) -> Iterator[bytes]:
    def line(text: str, **ending: Any) -> bytes:
        message = {"role": "assistant", "content": text}
        head = {"model": "llama3.2", "created_at": "2026-05-24T20:26:46.51908Z"}
        return orjson.dumps({**head, "message": message, "done": False, **ending}) + b"\n"

    yield from map(line, texts)
    yield line("", done=True, done_reason="stop", prompt_eval_count=3, eval_count=2)


def _event(payload: dict[str, Any], kind: str = "", newline: bytes = b"\n") -> bytes:
    lines = [b"event: " + kind.encode()] if kind else []
    return newline.join([*lines, b"data: " + orjson.dumps(payload), b"", b""])


def _named(payload: dict[str, Any]) -> bytes:
    return _event(payload, payload["type"])


def _frame(kind: str, payload: dict[str, Any]) -> bytes:
    values = {
        b":event-type": kind.encode(),
        b":content-type": b"application/json",
        b":message-type": b"event",
    }
    headers = b"".join(
        bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in values.items()
    )
    data = orjson.dumps(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    frame = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + data
    return frame + struct.pack(">I", zlib.crc32(frame))


_WRITERS: dict[str, Callable[[Iterable[str]], Iterator[bytes]]] = {
    "openai_chat": _openai_chat,
    "openai_responses": _openai_responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "cohere": _cohere,
    "bedrock": _bedrock,
    "ollama": _ollama,
}
