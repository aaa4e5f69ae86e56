"""Each dialect over a real socket: both faces, streamed and whole, and inside the batch job."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib

import orjson
import pytest
from fake_server import raw, sse
from played import STREAMS

from pipelines.batch_complete import main
from ritellm import AsyncClient, Client

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "VERTEXAI_PROJECT": "p",
}
MESSAGES = [{"role": "user", "content": "Say hello."}]
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
    body = orjson.dumps(payload)
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
EVERY = pytest.mark.parametrize("model", DIALECTS)


@pytest.fixture
def provider(fake_server, monkeypatch):
    """A server that speaks a dialect, its answers cut where they like."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    def speak(model):
        stream, content_type, whole, _ = DIALECTS[model]

        def answer(request):
            asked = request.json
            streamed = asked.get("stream") or "stream" in request.path.lower()
            if streamed:
                return raw(stream, content_type).but(pieces_of=7)
            return raw(orjson.dumps(whole), "application/json")

        fake_server.script = answer
        base = fake_server.base_url
        return base.removesuffix("/v1") if model.startswith(("azure", "ollama")) else base

    return speak


def check(completion):
    choice = completion["choices"][0]
    assert choice["message"]["content"] == "Hello there"
    assert choice["finish_reason"] == "stop"
    usage = completion["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (3, 2)


@EVERY
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_the_synchronous_face_speaks_it(provider, fake_server, model, streamed):
    with Client(base_url=provider(model), api_key="k") as client:
        answer = client.completion(model, MESSAGES, stream=streamed)
        check(answer.read() if streamed else answer)
    path = DIALECTS[model][3]
    assert path in fake_server.requests[0].path


@EVERY
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_the_asynchronous_face_speaks_it(provider, model, streamed):
    async def ask():
        async with AsyncClient(base_url=provider(model), api_key="k") as client:
            answer = await client.completion(model, MESSAGES, stream=streamed)
            return await answer.read() if streamed else answer

    check(asyncio.run(ask()))


@EVERY
def test_the_batch_job_speaks_it(provider, model, tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", "k")
    (tmp_path / "in.jsonl").write_text('{"id":"a","prompt":"Say hello."}\n')
    argv = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out")]
    argv += ["--model", model, "--base_url", provider(model), "--api_key_env", "A_KEY"]
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 0
    [file] = (tmp_path / "out").glob("completions-*.jsonl")
    check(orjson.loads(file.read_bytes())["completion"])


# --- Recorded streams over a socket -------------------------------------------------------------

MODELS = {
    "openai_chat_sse": "openai/m",
    "openai_responses_sse": "openai/responses/m",
    "anthropic_messages_sse": "anthropic/m",
    "gemini_sse": "gemini/m",
    "cohere_v2_sse": "cohere/m",
    "bedrock_converse_eventstream": "bedrock/m",
    "ollama_ndjson": "ollama/m",
}
TYPES = {
    "bedrock_converse_eventstream": "application/vnd.amazon.eventstream",
    "ollama_ndjson": "application/x-ndjson",
}


def recordings():
    if not (STREAMS / "index.json").exists():
        return []
    fixtures = orjson.loads((STREAMS / "index.json").read_bytes())["fixtures"]
    return [each for each in fixtures if each["expect"]["stream_complete"]]


@pytest.mark.skipif(not recordings(), reason=f"there are no recordings at {STREAMS}")
@pytest.mark.parametrize("fixture", recordings(), ids=lambda fixture: fixture["file"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_recording_survives_a_socket_that_cuts_it_anywhere(
    fake_server, monkeypatch, fixture, seed
):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    body = (STREAMS / fixture["file"]).read_bytes()
    dice, sizes = random.Random(seed), []
    while sum(sizes) < len(body):
        sizes.append(dice.randint(1, 400))
    kind = fixture["wire_format"]
    headers = {"content-encoding": "gzip"} if fixture["content_encoding"] else {}
    reply = raw(body, TYPES.get(kind, EVENTS), headers=headers).but(pieces_of=tuple(sizes))
    fake_server.script = lambda request: reply
    with Client(base_url=fake_server.base_url, api_key="k") as client:
        completion = client.completion(MODELS[kind], MESSAGES, stream=True).read()
    for choice, expected in zip(completion["choices"], fixture["expect"]["choices"], strict=True):
        message = choice["message"]
        assert (message.get("content") or "") == expected["text"]
        assert (message.get("reasoning_content") or "") == expected["reasoning"]
        assert len(message.get("tool_calls") or []) == len(expected["tool_calls"])
    expected_usage = fixture["expect"]["usage"] or {}
    for name in ("prompt_tokens", "completion_tokens"):
        assert (completion["usage"] or {}).get(name) == expected_usage.get(name)
