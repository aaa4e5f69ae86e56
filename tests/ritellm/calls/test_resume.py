"""An answer that broke off goes on without a seam, wherever it broke; or it is an error."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fake_server import (
    Close,
    Reply,
    Reset,
    Stall,
    api_error,
    chat_chunk,
    chat_events,
    chat_stream,
    raw,
    sse,
    stream,
)

import ritellm
from ritellm import InvalidRequestError, RetryPolicy, StreamTruncatedError, Timeouts
from ritellm import wire as wires
from ritellm.endpoints import Endpoint, Provider
from ritellm.types import Request

MESSAGES = [{"role": "user", "content": "Greet the world"}]
PIECES = ["Hello", ",", " wor", "ld", ".\n\n", "Bye", "  ", "now", " \N{SLIGHTLY SMILING FACE}"]
TEXT = "".join(PIECES)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def pieces_after(begun):
    """Return the pieces that follow on `begun`, blanks that it lost at its end included."""
    left, pieces = len(begun), []
    for piece in PIECES:
        pieces.append(piece[left:]) if left < len(piece) else None
        left = max(0, left - len(piece))
    return pieces


def cut(events, after):
    return stream(*events[:after], Close())


class Chat:
    """A server that speaks OpenAI's chat and goes on where an assistant's message ends."""

    usage = USAGE

    def __init__(self, provider, *, echoes=False, model="m"):
        self.provider, self.model, self.echoes = provider, f"{provider}/{model}", echoes

    def events(self, pieces):
        return chat_events(pieces, usage=self.usage)

    def first(self, after):
        return cut(self.events(PIECES), after)

    def answer(self, request):
        last = request.json["messages"][-1]
        if last["role"] != "assistant":
            return stream(*self.events(PIECES))
        begun = self.text_of(last["content"])
        again = [begun] if self.echoes else []
        return stream(*self.events([*again, *pieces_after(begun)]))

    def text_of(self, content):
        return content


class Claude(Chat):
    """A server that speaks Anthropic's Messages, and refuses a blank at the end of a prefill."""

    usage = None

    def events(self, pieces):
        usage = {"input_tokens": 3, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c"}
        text = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
        payloads = [
            {"type": "message_start", "message": {**message, "content": [], "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": text},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 4},
            },
            {"type": "message_stop"},
        ]
        return [sse(payload, event=payload["type"]) for payload in payloads]

    def text_of(self, content):
        (block,) = content
        assert not block["text"].endswith((" ", "\n")), "Anthropic answers this with a 400"
        return block["text"]


class Responses:
    """A server that keeps its background responses."""

    provider, model = "openai", "openai/responses/gpt-5"

    def events(self, pieces):
        head = {"id": "resp_1", "object": "response", "model": "gpt-5", "created_at": 1}
        item = {"type": "message", "id": "msg_1", "role": "assistant"}
        whole = {**item, "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        done = {**head, "status": "completed", "output": [whole], "usage": usage}
        payloads = [
            {"type": "response.created", "response": {**head, "status": "queued"}},
            {"type": "response.in_progress", "response": {**head, "status": "in_progress"}},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.content_part.added", "output_index": 0},
            *(
                {"type": "response.output_text.delta", "output_index": 0, "delta": p}
                for p in pieces
            ),
            {"type": "response.output_text.done", "output_index": 0, "text": TEXT},
            {"type": "response.output_item.done", "output_index": 0, "item": whole},
            {"type": "response.completed", "response": done},
        ]
        numbered = [{**each, "sequence_number": n} for n, each in enumerate(payloads)]
        return [sse(each, event=each["type"]) for each in numbered]

    def first(self, after):
        return cut(self.events(PIECES), after)

    def answer(self, request):
        events = self.events(PIECES)
        if request.method == "POST":
            assert request.json["background"] is True
            return stream(*events)
        assert request.path == "/v1/responses/resp_1"
        assert request.query["stream"] == "true"
        return stream(*events[int(request.query["starting_after"]) + 1 :])


SERVERS = {
    "vLLM": Chat("hosted_vllm"),
    "Mistral": Chat("mistral", echoes=True),
    "DeepSeek": Chat("deepseek"),
    "Anthropic": Claude("anthropic", model="claude-sonnet-4-5"),
    "Responses": Responses(),
}


def cases():
    for name, server in SERVERS.items():
        for after in range(1, len(server.events(PIECES)) - 2):
            yield pytest.param(server, after, id=f"{name} after event {after}")


def asked(server, fake_server, **arguments):
    return {
        "model": server.model,
        "messages": MESSAGES,
        "stream": True,
        "base_url": fake_server.base_url,
        "api_key": "sk-none",
        "on_interrupt": "continue",
        "retry": RetryPolicy(first_delay=0.0),
    } | arguments


def texts(chunks):
    return [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]


def check(chunks, whole):
    assert "".join(texts(chunks)) == TEXT
    assert whole.choices[0].message.content == TEXT
    assert whole.choices[0].finish_reason == "stop"
    places = [(chunk.attempt, chunk.seq) for chunk in chunks]
    assert places == [(chunks[0].attempt, seq) for seq in range(len(chunks))]
    assert ritellm.stream_chunk_builder(chunks) == whole


@pytest.mark.parametrize(("server", "after"), list(cases()))
def test_a_continued_text_is_whole_wherever_it_was_interrupted(server, after, fake_server):
    fake_server.script = server.answer
    fake_server.enqueue(server.first(after))
    opened = ritellm.completion(**asked(server, fake_server))
    chunks = list(opened)
    check(chunks, opened.completion)
    assert chunks[0].attempt == 1
    assert opened.attempts == len(fake_server.requests) == 2


@pytest.mark.parametrize(("server", "after"), list(cases()))
def test_merged_chunks_have_no_seam_either(server, after, fake_server):
    fake_server.script = server.answer
    fake_server.enqueue(server.first(after))
    opened = ritellm.completion(**asked(server, fake_server, buffer_chunks=3))
    check(list(opened), opened.completion)


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_the_asynchronous_face_continues_an_answer_too(server, fake_server):
    fake_server.script = server.answer
    fake_server.enqueue(server.first(6))

    async def read():
        opened = await ritellm.acompletion(**asked(server, fake_server))
        return [chunk async for chunk in opened], opened.completion

    check(*asyncio.run(read()))


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_an_answer_can_be_continued_more_than_once(server, fake_server):
    fake_server.script = server.answer
    down = api_error(503)
    fake_server.enqueue(server.first(5), down, down)
    opened = ritellm.completion(**asked(server, fake_server, num_retries=3))
    check(list(opened), opened.completion)
    assert opened.attempts == 4


WIRE = {
    "vLLM": ({"continue_final_message": True, "add_generation_prompt": False}, {}, "/v1"),
    "Mistral": ({}, {"prefix": True}, "/v1"),
    "DeepSeek": ({}, {"prefix": True}, "/beta"),
}


@pytest.mark.parametrize("name", WIRE)
def test_each_provider_gets_a_continuation_in_its_own_form(name, fake_server):
    body, message, root = WIRE[name]
    server = SERVERS[name]
    fake_server.script = server.answer
    fake_server.enqueue(server.first(3))
    list(ritellm.completion(**asked(server, fake_server)))
    request = fake_server.requests[1]
    begun = {"role": "assistant", "content": "Hello,", **message}
    assert request.json["messages"] == [*MESSAGES, begun]
    assert {key: request.json[key] for key in body} == body
    assert request.path == f"{root}/chat/completions"


def test_usage_counts_both_requests_and_the_interruption(fake_server):
    server = SERVERS["Anthropic"]
    fake_server.script = server.answer
    fake_server.enqueue(server.first(4))
    opened = ritellm.completion(**asked(server, fake_server))
    list(opened)
    usage = opened.completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (3 + 3, 1 + 4)
    assert usage.interrupted_requests == 1
    assert opened.completion.usage_source == "partial"


def test_the_same_response_is_counted_once(fake_server):
    server = SERVERS["Responses"]
    fake_server.script = server.answer
    fake_server.enqueue(server.first(7))
    opened = ritellm.completion(**asked(server, fake_server))
    list(opened)
    assert opened.usage["total_tokens"] == 7
    assert opened.completion.usage_source == "provider"


# Where it cannot continue

CANNOT = {
    "OpenAI's chat": ("openai/gpt-4o", {}, "openai cannot continue an interrupted answer:"),
    "Gemini": ("gemini/gemini-2.5-flash", {}, "gemini cannot continue"),
    "a newer Claude": ("anthropic/claude-opus-4-6", {}, "with claude-opus-4-6"),
    "the newest Claude": ("anthropic/claude-opus-5", {}, "with claude-opus-5"),
    "a thinking Claude": (
        "anthropic/claude-sonnet-4-5",
        {"reasoning_effort": "low"},
        "with reasoning_effort",
    ),
    "several choices": ("mistral/m", {"n": 2}, "with n above 1"),
    "a response not stored": ("openai/responses/gpt-5", {"store": False}, "without store=True"),
    "an answer begun by the caller": (
        "mistral/m",
        {"messages": [*MESSAGES, {"role": "assistant", "content": "Hel"}]},
        "assistant's already",
    ),
    "a fallback": ("mistral/m", {"fallbacks": ["openai/gpt-4o"]}, "openai cannot continue"),
}


@pytest.mark.parametrize(("model", "arguments", "says"), CANNOT.values(), ids=CANNOT)
def test_an_answer_that_cannot_be_continued_is_refused_before_sending(
    model, arguments, says, fake_server, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    server = Chat("mistral")
    with pytest.raises(InvalidRequestError, match=says):
        ritellm.completion(**asked(server, fake_server, model=model) | arguments)
    assert not fake_server.requests


@pytest.mark.parametrize("model", "claude-3-haiku claude-sonnet-4 claude-opus-4-1-20250805".split())
def test_older_claude_models_can_be_continued(model, fake_server):
    server = Claude("anthropic", model=model)
    fake_server.script = server.answer
    fake_server.enqueue(server.first(4))
    opened = ritellm.completion(**asked(server, fake_server))
    check(list(opened), opened.completion)


@pytest.mark.parametrize("delta", [{"reasoning_content": "Hm"}, {"tool_calls": [{"index": 0}]}])
def test_only_text_can_be_continued(delta, fake_server):
    fake_server.enqueue(stream(sse(chat_chunk({"content": "Hi"})), sse(chat_chunk(delta)), Close()))
    with pytest.raises(ritellm.APIConnectionError) as caught:
        list(ritellm.completion(**asked(Chat("mistral"), fake_server)))
    assert caught.value.partial.choices[0].message.content == "Hi"
    assert len(fake_server.requests) == 1


def test_an_answer_that_never_completes_is_an_error_with_the_whole_partial(fake_server):
    server = SERVERS["vLLM"]
    fake_server.enqueue(*[stream(*chat_events(["a"], done=False, finish_reason=None))] * 3)
    with pytest.raises(StreamTruncatedError) as caught:
        list(ritellm.completion(**asked(server, fake_server)))
    assert caught.value.partial.choices[0].message.content == "aaa"
    assert caught.value.attempts == 3


def test_a_fallback_continues_the_text_of_the_model_before(fake_server):
    server = Chat("hosted_vllm")
    fake_server.script = server.answer
    fake_server.enqueue(server.first(4))
    other = {"model": "mistral/other", "base_url": fake_server.base_url, "api_key": "k"}
    arguments = asked(server, fake_server, num_retries=0, fallbacks=[other])
    opened = ritellm.completion(**arguments)
    check(list(opened), opened.completion)
    assert opened.model == "mistral/other"
    assert fake_server.requests[1].json["messages"][-1]["prefix"] is True


def test_a_missing_echo_loses_no_text(fake_server):
    server = Chat("mistral", echoes=False)
    fake_server.script = server.answer
    fake_server.enqueue(server.first(4))
    opened = ritellm.completion(**asked(server, fake_server))
    check(list(opened), opened.completion)


@pytest.mark.parametrize("size", range(1, 8))
def test_an_echo_may_come_in_pieces(size, fake_server):
    fake_server.enqueue(cut(chat_events(PIECES), 5))
    again = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    fake_server.enqueue(chat_stream(again))
    opened = ritellm.completion(**asked(Chat("mistral"), fake_server))
    check(list(opened), opened.completion)


def test_an_unstreamed_answer_is_retried_as_usual(fake_server):
    fake_server.enqueue(api_error(503))
    server = Chat("openai", model="gpt-4o")
    assert ritellm.completion(**asked(server, fake_server, stream=False)).choices


# Leaving early


def paused(server, after):
    """Return a reply that says nothing more after so many events."""
    return stream(*server.events(PIECES)[:after], Stall())


def cancels(fake_server):
    return [r.path for r in fake_server.requests if r.path.endswith("/cancel")]


def test_a_background_answer_that_is_left_early_is_cancelled_at_the_provider(fake_server):
    server = SERVERS["Responses"]
    fake_server.enqueue(paused(server, 6), raw(b"{}", "application/json"))
    with ritellm.completion(**asked(server, fake_server)) as opened:
        assert next(opened)
    assert cancels(fake_server) == ["/v1/responses/resp_1/cancel"]
    asking, cancelling = fake_server.requests
    assert cancelling.method == "POST"
    assert cancelling.body == b""
    assert cancelling.headers["authorization"] == asking.headers["authorization"]


@pytest.mark.parametrize("transport", [httpx.AsyncHTTPTransport, lambda: None])
@pytest.mark.parametrize("by", ["aclose", "cancel"])
def test_the_asynchronous_face_cancels_it_too(fake_server, by, transport):
    server = SERVERS["Responses"]
    fake_server.enqueue(paused(server, 6), raw(b"{}", "application/json"))

    async def leave():
        async with ritellm.AsyncClient(transport=transport()) as client:
            opened = await client.completion(**asked(server, fake_server))
            await opened.__anext__()
            if by == "aclose":
                await opened.aclose()
                return
            reading = asyncio.ensure_future(opened.read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

    asyncio.run(leave())
    assert cancels(fake_server) == ["/v1/responses/resp_1/cancel"]


def test_a_timeout_cancels_it_too(fake_server):
    server = SERVERS["Responses"]
    fake_server.enqueue(paused(server, 6), raw(b"{}", "application/json"))
    with pytest.raises(ritellm.Timeout):
        list(ritellm.completion(**asked(server, fake_server, timeout=Timeouts(total=1))))
    assert cancels(fake_server) == ["/v1/responses/resp_1/cancel"]


@pytest.mark.parametrize("reply", [api_error(500), Reply(steps=[Reset()])])
def test_a_failed_cancellation_is_ignored(fake_server, reply):
    server = SERVERS["Responses"]
    fake_server.enqueue(paused(server, 6), reply)
    with ritellm.completion(**asked(server, fake_server)) as opened:
        assert next(opened)
    assert len(cancels(fake_server)) == 1


def test_the_client_does_not_wait_for_an_unanswered_cancellation(fake_server):
    hurried = {"timeout": Timeouts(connect=0.1)}
    server = SERVERS["Responses"]
    stalled = Reply(steps=[Stall()])
    fake_server.enqueue(paused(server, 6), stalled, paused(server, 6), stalled)
    with ritellm.completion(**asked(server, fake_server, **hurried)) as opened:
        assert next(opened)

    async def leave():
        async with await ritellm.acompletion(**asked(server, fake_server, **hurried)) as opened:
            await opened.__anext__()

    asyncio.run(leave())
    assert len(cancels(fake_server)) == 2


def test_a_finished_or_callers_own_background_answer_is_not_cancelled(fake_server):
    server = SERVERS["Responses"]
    fake_server.enqueue(stream(*server.events(PIECES)), paused(server, 6))
    with ritellm.completion(**asked(server, fake_server)) as opened:
        list(opened)
    own = {"on_interrupt": "raise", "extra_body": {"background": True}}
    with ritellm.completion(**asked(server, fake_server, **own)) as opened:
        assert next(opened)
    assert not cancels(fake_server)


def test_azure_gets_the_cancellation_at_its_own_address():
    provider = Provider("azure", "azure_responses", "https://r.openai.azure.com")
    request = Request("dep", MESSAGES, stream=True)
    endpoint = Endpoint(provider, "https://r.openai.azure.com", "k", options={"api_version": "v"})
    sent = wires.load("azure_responses").cancel_request(request, endpoint, "resp/1")
    asked = wires.load("azure_responses").build_request(request, endpoint)
    assert sent.url.startswith("https://r.openai.azure.com/openai/")
    assert "/responses/resp%2F1/cancel" in sent.url
    assert sent.headers["api-key"] == asked.headers["api-key"]
