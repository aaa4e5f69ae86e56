"""Recorded streams of real providers: whole, byte by byte, and cut off at each event.

The recordings lie beside the repository, in `shared/streams`; where they do not, this is skipped.
A dialect is one row of `DIALECTS`.
"""

from __future__ import annotations

import functools
import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ritellm.calls.exchange import Exchange
from ritellm.endpoints import Endpoint, Provider
from ritellm.errors import BadRequestError, StreamTruncatedError
from ritellm.types import Request

STREAMS = Path(__file__).resolve().parents[4] / "shared" / "streams"


def sse_events(data: bytes) -> list[bytes]:
    return re.findall(rb"(?s).*?(?:\r\n\r\n|\n\n|\Z)", data)[:-1]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def frames(data: bytes) -> list[bytes]:
    """Return the frames of an AWS event stream: each begins with its length."""
    found = []
    while data:
        [length] = struct.unpack_from(">I", data)
        found.append(data[:length])
        data = data[length:]
    return found


@dataclass(frozen=True)
class Dialect:
    """Args:
    wire: Our name of the dialect.
    events: Cuts a body at its events.
    finish_reasons: OpenAI's words for the provider's own.
    """

    wire: str
    content_type: str = "text/event-stream"
    events: Callable[[bytes], list[bytes]] = sse_events
    finish_reasons: Mapping[str, str] = field(default_factory=dict)


DIALECTS = {
    "openai_chat_sse": Dialect("openai_chat"),
    "openai_responses_sse": Dialect("openai_responses", finish_reasons={"completed": "stop"}),
    "anthropic_messages_sse": Dialect(
        "anthropic", finish_reasons={"end_turn": "stop", "tool_use": "tool_calls"}
    ),
    "gemini_sse": Dialect("gemini", finish_reasons={"STOP": "stop"}),
    "cohere_v2_sse": Dialect("cohere", finish_reasons={"TOOL_CALL": "tool_calls"}),
    "bedrock_converse_eventstream": Dialect(
        "bedrock", "application/vnd.amazon.eventstream", frames, {"end_turn": "stop"}
    ),
    "ollama_ndjson": Dialect("ollama", "application/x-ndjson", lines),
}


@functools.cache
def recording(name):
    """Return the dialect, the body and what is expected of it."""
    fixture = next(each for each in fixtures() if each["file"] == name)
    body = (STREAMS / name).read_bytes()
    if fixture["content_encoding"] == "gzip":
        body = zlib.decompressobj(wbits=31).decompress(body)
    return DIALECTS[fixture["wire_format"]], body, fixture["expect"]


def fixtures():
    index = STREAMS / "index.json"
    return json.loads(index.read_text())["fixtures"] if index.exists() else []


NAMES = [each["file"] for each in fixtures() if each["wire_format"] in DIALECTS]
if not NAMES:
    pytest.skip(f"no recorded streams in {STREAMS}", allow_module_level=True)


def received(dialect, pieces):
    """Return the exchange after these pieces and the end of the body."""
    endpoint = Endpoint(Provider("p", dialect.wire), "http://127.0.0.1", "sk-recorded")
    exchange = Exchange(Request("m", [{"role": "user", "content": "hi"}], stream=True), endpoint)
    exchange.receive_response(200, {"content-type": dialect.content_type})
    for piece in pieces:
        exchange.receive_data(piece)
    exchange.receive_eof()
    exchange.attach_partial()
    return exchange


def summary(completion, usage=True):
    """Return what `index.json` tells of an answer."""
    choices = []
    for choice in completion["choices"]:
        message = choice["message"]
        calls = message.get("tool_calls") or []
        logprobs = choice["logprobs"] or {}
        choices.append(
            {
                "index": choice["index"],
                "role": message["role"],
                "text": message["content"] or "",
                "reasoning": message.get("reasoning_content") or "",
                "refusal": message.get("refusal") or "",
                "tool_plan": message.get("tool_plan") or "",
                "tool_calls": [
                    (
                        call["id"],
                        call["function"]["name"],
                        json.loads(call["function"]["arguments"]),
                    )
                    for call in calls
                ],
                "finish_reason": choice["finish_reason"],
                "logprobs": [len(logprobs.get(part) or []) for part in ("content", "refusal")],
            }
        )
    counted = completion["usage"] or {}
    details = {
        "cached_tokens": counted.get("prompt_tokens_details"),
        "reasoning_tokens": counted.get("completion_tokens_details"),
    }
    named = ("prompt_tokens", "completion_tokens", "total_tokens")
    tokens = {name: counted.get(name) for name in named}
    tokens |= {name: (part or {}).get(name) for name, part in details.items()}
    return (choices, tokens) if usage else choices


class _Given:
    """Equals any id: a provider that has none for a call is given one."""

    def __eq__(self, id):
        return isinstance(id, str) and bool(id)

    __hash__ = None


GIVEN = _Given()


def finish_reason(dialect, choice):
    theirs = choice["finish_reason"]
    if choice["tool_calls"] and theirs == "STOP":  # Gemini's word for that too
        return "tool_calls"
    return dialect.finish_reasons.get(theirs, theirs)


def expected_summary(dialect, expect):
    choices = [
        {
            "index": choice["index"],
            "role": choice["role"],
            "text": choice["text"],
            "reasoning": choice["reasoning"],
            "refusal": choice["refusal"],
            "tool_plan": choice.get("tool_plan", ""),
            "tool_calls": [
                (call["id"] or GIVEN, call["name"], json.loads(call["arguments"]))
                for call in choice["tool_calls"]
            ],
            "finish_reason": finish_reason(dialect, choice),
            "logprobs": [choice.get(f"logprobs_{part}", 0) for part in ("content", "refusal")],
        }
        for choice in expect["choices"]
    ]
    names = "prompt_tokens completion_tokens total_tokens cached_tokens reasoning_tokens".split()
    return choices, {name: expect["usage"] and expect["usage"][name] for name in names}


def answer_of(exchange, expect):
    """Return what came, and hold its end against what is expected: an answer or an error."""
    if expect["error"] is None:
        assert exchange.error is None
        return exchange.completion()
    assert type(exchange.error) is BadRequestError
    assert exchange.error.status_code == expect["error"]["code"]
    assert exchange.error.message == expect["error"]["message"]
    return exchange.error.partial


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_gives_the_expected_completion(name):
    dialect, body, expect = recording(name)
    completion = answer_of(received(dialect, [body]), expect)
    assert summary(completion) == expected_summary(dialect, expect)
    for key in ("id", "model", "system_fingerprint"):
        assert completion.get(key) == expect.get("top", {}).get(key, completion.get(key))
    if dialect.wire == "openai_chat":
        assert completion["usage"] == expect["usage_raw"]
        assert completion["object"] == "chat.completion"


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_is_the_same_byte_by_byte(name):
    dialect, body, expect = recording(name)
    whole = answer_of(received(dialect, [body]), expect)
    single = [body[at : at + 1] for at in range(len(body))]
    assert answer_of(received(dialect, single), expect) == whole
    thirds = [body[at : at + 7] for at in range(0, len(body), 7)]
    assert answer_of(received(dialect, thirds), expect) == whole


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_that_is_cut_at_an_event_is_an_error_unless_it_was_complete(name):
    dialect, body, expect = recording(name)
    events = dialect.events(body)
    assert b"".join(events) == body
    said = summary(answer_of(received(dialect, [body]), expect), usage=False)
    errors = 0
    for count in range(len(events)):
        exchange = received(dialect, events[:count])
        if exchange.error is None:
            assert summary(exchange.completion(), usage=False) == said, f"cut after {count} events"
        elif type(exchange.error) is StreamTruncatedError:
            errors += 1
        else:
            assert exchange.error.message == (expect["error"] or {}).get("message")
    assert errors >= len(events) / 2


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_that_is_cut_anywhere_is_an_error_unless_it_was_complete(name):
    dialect, body, expect = recording(name)
    said = summary(answer_of(received(dialect, [body]), expect), usage=False)
    for at in range(0, len(body), max(1, len(body) // 150)):
        exchange = received(dialect, [body[:at]])
        if exchange.error is None:
            assert summary(exchange.completion(), usage=False) == said, f"cut at byte {at}"
        else:
            assert exchange.error.partial is None or exchange.error.partial["choices"] is not None
