"""Each dialect over a real socket: both faces, streamed and whole, and inside the batch job."""

from __future__ import annotations

import asyncio
import random

import orjson
import pytest
from dialect_samples import DIALECTS, EVENTS
from fake_server import raw
from replay import STREAMS

from pipelines.batch_complete import main
from ritellm import AsyncClient, Client

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "VERTEXAI_PROJECT": "p",
}
MESSAGES = [{"role": "user", "content": "Say hello."}]
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
def test_the_synchronous_face_supports_every_dialect(provider, fake_server, model, streamed):
    with Client(base_url=provider(model), api_key="k") as client:
        answer = client.completion(model, MESSAGES, stream=streamed)
        check(answer.read() if streamed else answer)
    path = DIALECTS[model][3]
    assert path in fake_server.requests[0].path


@EVERY
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_the_asynchronous_face_supports_every_dialect(provider, model, streamed):
    async def ask():
        async with AsyncClient(base_url=provider(model), api_key="k") as client:
            answer = await client.completion(model, MESSAGES, stream=streamed)
            return await answer.read() if streamed else answer

    check(asyncio.run(ask()))


@EVERY
def test_the_batch_job_supports_every_dialect(provider, model, tmp_path, monkeypatch):
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
