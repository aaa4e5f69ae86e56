"""An independent check: Anthropic's own package reads the same bytes, and asks in the same ones."""

from __future__ import annotations

import json

import pytest
from provider_replay import ASK, body, message, recordings, streamed
from replay import sse
from test_anthropic import ANSWERS, NEW, OVERLOADED, STOPS, answer, asked, events, text, turns, user

reason = "Anthropic's package is not installed"
anthropic = pytest.importorskip("anthropic", reason=reason)
httpx = pytest.importorskip("httpx2", reason="a version of Anthropic's package before httpx2")


def client(reply, seen=None, **options):
    """Return their client, to which the server answers `reply` whatever it asks."""

    def serve(request):
        if seen is not None:
            seen.append(request)
        kind = "text/event-stream" if isinstance(reply, bytes) else "application/json"
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return httpx.Response(200, headers={"content-type": kind}, content=data)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    return anthropic.Anthropic(api_key="secret", http_client=http, max_retries=0, **options)


def read_by_them(data):
    """Return the message that their client makes of a stream."""
    asking = {"model": "m", "max_tokens": 1, "messages": ASK}
    with client(data).messages.stream(**asking) as stream:
        return stream.get_final_message()


def agree(data):
    """Check that both read the same message from `data`; return theirs."""
    theirs, call = read_by_them(data), streamed("anthropic", data)
    ours, whole = message(call), call.completion()
    blocks = {kind: [b for b in theirs.content if b.type == kind] for kind in KINDS}
    assert (ours["content"] or "") == "".join(block.text for block in blocks["text"])
    thoughts = "".join(block.thinking for block in blocks["thinking"])
    assert (ours.get("reasoning_content") or "") == thoughts
    signed = [b.get("signature") for b in ours.get("thinking_blocks", []) if "signature" in b]
    assert signed == [block.signature for block in blocks["thinking"]]
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
        for c in ours.get("tool_calls", [])
    ]
    assert calls == [(block.id, block.name, block.input) for block in blocks["tool_use"]]
    usage = theirs.usage
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    assert whole["usage"]["prompt_tokens"] == usage.input_tokens + read + written
    assert whole["usage"]["completion_tokens"] == usage.output_tokens
    assert (whole["id"], whole["model"]) == (theirs.id, theirs.model)
    return theirs


KINDS = ("text", "thinking", "tool_use")


@pytest.mark.parametrize(("data", "expect"), recordings("anthropic"))
def test_recorded_streams(data, expect):
    agree(data)


@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS)
def test_blocks(content):
    agree(sse(*events(answer(content))))


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - {"unheard of", "nothing", "interleaved"}))
def test_an_answer_goes_back_as_they_send_it_back(name):
    data, seen = sse(*events(answer(ANSWERS[name]))), []
    theirs = [user("?"), {"role": "assistant", "content": read_by_them(data).content}]
    client(answer([]), seen).messages.create(model="m", max_tokens=1, messages=theirs)
    sent = json.loads(seen[0].content)["messages"][1]["content"]
    assert turns(user("?"), message(streamed("anthropic", data)))[1]["content"] == plain(sent)


def plain(value):
    """Return `value` without the nulls that their models fill in, and those of the answer."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None or k == "page_age"}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_why_it_stopped_is_one_of_their_words():
    for reason in STOPS.keys() - {"compaction"}:
        data = sse(*events(answer([text("So")], reason)))
        assert read_by_them(data).stop_reason == reason


def test_an_error_event_has_the_same_type():
    data = sse(*events(answer([text("Hello")]))[:3], OVERLOADED)
    with pytest.raises(anthropic.APIStatusError) as caught:
        read_by_them(data)
    assert caught.value.body["error"]["type"] == streamed("anthropic", data).error.code


def test_both_ask_in_the_same_words():
    seen = []
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    client(answer([]), seen).messages.create(
        model=NEW,
        max_tokens=9,
        system=[text("Be brief.")],
        messages=[user([text("hi")])],
        stop_sequences=["END"],
        tools=[{"name": "f", "description": "d", "input_schema": schema}],
        tool_choice={"type": "auto"},
        thinking={"type": "adaptive", "display": "summarized"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": schema}},
        metadata={"user_id": "u"},
        service_tier="auto",
    )
    function = {"name": "f", "description": "d", "parameters": schema}
    ours = {
        "max_tokens": 9,
        "stop": "END",
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "auto",
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
        "user": "u",
        "service_tier": "auto",
    }
    messages = [{"role": "system", "content": "Be brief."}, user("hi")]
    assert body("anthropic", messages, model=NEW, **ours) == json.loads(seen[0].content)
    request = asked("anthropic", base_url="https://api.anthropic.com")
    assert request.url == str(seen[0].url)
    assert request.headers["content-type"] == seen[0].headers["content-type"]


@pytest.mark.parametrize("stream", [True, False])
def test_both_find_claude_on_vertex(stream):
    seen = []

    def serve(request):
        seen.append(request)
        return httpx.Response(400, json={})

    vertex = anthropic.AnthropicVertex(
        region="us-east5",
        project_id="p",
        access_token="secret",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(serve)),
    )
    with pytest.raises(anthropic.BadRequestError):
        vertex.messages.create(
            model="claude-x@1", max_tokens=9, messages=[user([text("hi")])], stream=stream
        )
    root = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"
    asking = {"model": "claude-x@1", "base_url": root, "stream": stream, "max_tokens": 9}
    request = asked("vertex_anthropic", **asking)
    assert request.url == str(seen[0].url)
    assert request.headers["authorization"] == seen[0].headers["authorization"]
    ours, theirs = ({"stream": False, **json.loads(each.content)} for each in (request, seen[0]))
    assert ours.pop("anthropic_version") != theirs.pop("anthropic_version")  # see wire/anthropic
    assert ours == theirs
