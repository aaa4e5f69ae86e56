"""The forms of an answer: what a reader of each gets."""

from __future__ import annotations

import orjson
import pytest

from pipelines.serve_deltas.encoders import FORMS, CutOff
from pipelines.serve_deltas.growing_text import GrowingText
from pipelines.serve_deltas.piece import Piece

RANK = (7, 1)


def chunk(delta, reason=None, **fields):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return orjson.dumps({"object": "chat.completion.chunk", "choices": [choice], **fields})


def pieces_of(*deltas, rank=RANK, reason="stop"):
    made = [
        Piece(rank, seq, delta.get("content") or "", chunk(delta))
        for seq, delta in enumerate(deltas)
    ]
    end = Piece(rank, len(made), "", chunk({}, reason), final=True)
    return [*made, end]


def news_of(*pieces, since=None):
    text = GrowingText()
    text.add(pieces)
    return text.since(since)


class Form:
    """One reader of a form."""

    def __init__(self, form):
        self._encoder = FORMS[form]
        self._state = self._encoder.begin("q")

    def encode(self, news):
        body, self._state = self._encoder.encode(news, self._state)
        return body


def begun(form):
    """Return an encoder that has sent a text, and the position after it."""
    encoder, news = Form(form), news_of(*pieces_of({"content": "old"})[:1])
    encoder.encode(news)
    return encoder, news.position


HALLO = pieces_of({"role": "assistant", "content": ""}, {"content": "Hal"}, {"content": "lo\n\n✓"})


def test_events_for_a_late_reader_are_one_text_and_the_end():
    assert Form("events").encode(news_of(*HALLO)).decode() == (
        "id: 0000000000000007_00000001_00000003\n"
        'data: {"text":"Hallo\\n\\n✓"}\n\n'
        "id: 0000000000000007_00000001_00000004\n"
        "event: end\n"
        'data: {"outcome":"finished","finish_reason":"stop"}\n\n'
    )


def test_events_say_that_a_text_begins_anew():
    encoder, position = begun("events")
    news = news_of(*pieces_of({"content": "new"}, rank=(7, 2))[:1], since=position)
    assert encoder.encode(news).decode() == (
        "id: 0000000000000007_00000002_00000000\n"
        'event: reset\ndata: {"attempt":2}\n\n'
        "id: 0000000000000007_00000002_00000001\n"
        'data: {"text":"new"}\n\n'
    )


def test_events_carry_reasoning_and_tool_calls():
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}
    news = news_of(*pieces_of({"reasoning_content": "Hm"}, {"tool_calls": [call]})[:2])
    data = Form("events").encode(news).split(b"data: ")[1]
    assert orjson.loads(data) == {"reasoning": "Hm", "tool_calls": [call]}


def test_plain_text_is_the_text():
    assert Form("text").encode(news_of(*HALLO)).decode() == "Hallo\n\n✓"


def test_the_chunks_of_a_late_reader_are_one_chunk_and_done():
    body = Form("chat").encode(news_of(*HALLO))
    first, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert orjson.loads(first.removeprefix(b"data: ")) == {
        "object": "chat.completion.chunk",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "Hallo\n\n✓"},
                "finish_reason": "stop",
            }
        ],
    }


@pytest.mark.parametrize("form", ["text", "chat"])
def test_a_form_without_a_reset_breaks_off(form):
    encoder, position = begun(form)
    news = news_of(*pieces_of({"content": "fresh"}, rank=(7, 2)), since=position)
    with pytest.raises(CutOff) as cut:
        encoder.encode(news)
    assert b"fresh" not in cut.value.args[0]


@pytest.mark.parametrize("form", ["text", "chat"])
def test_a_form_without_failures_breaks_off_after_the_text(form):
    failed = Piece(RANK, 1, "", b"", failed="RateLimitError")
    with pytest.raises(CutOff) as cut:
        Form(form).encode(news_of(*pieces_of({"content": "half"})[:1], failed))
    assert b"half" in cut.value.args[0]
    assert b"[DONE]" not in cut.value.args[0]


def test_events_say_that_a_prompt_has_failed():
    failed = Piece(RANK, 1, "", b"", failed="RateLimitError")
    body = Form("events").encode(news_of(*pieces_of({"content": "half"})[:1], failed))
    assert b'event: end\ndata: {"outcome":"failed","error_type":"RateLimitError"}' in body


def parts_of(body):
    events = body.decode().strip().split("\n\n")
    return [orjson.loads(event[6:]) if event != "data: [DONE]" else "done" for event in events]


def test_the_ai_sdk_gets_the_parts_of_one_message():
    deltas = {"reasoning_content": "Hm"}, {"content": "Hal"}, {"content": "lo"}
    assert parts_of(Form("ai-sdk").encode(news_of(*pieces_of(*deltas)))) == [
        {"type": "start", "messageId": "q"},
        {"type": "start-step"},
        {"type": "reasoning-start", "id": "1"},
        {"type": "reasoning-delta", "id": "1", "delta": "Hm"},
        {"type": "reasoning-end", "id": "1"},
        {"type": "text-start", "id": "2"},
        {"type": "text-delta", "id": "2", "delta": "Hallo"},
        {"type": "text-end", "id": "2"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
        "done",
    ]


def test_the_ai_sdk_is_told_that_a_text_begins_anew():
    encoder, position = begun("ai-sdk")
    news = news_of(*pieces_of({"content": "new"}, rank=(7, 2))[:1], since=position)
    assert parts_of(encoder.encode(news)) == [
        {"type": "text-end", "id": "1"},
        {"type": "finish-step"},
        {"type": "data-reset", "data": {"attempt": 2}},
        {"type": "start-step"},
        {"type": "text-start", "id": "2"},
        {"type": "text-delta", "id": "2", "delta": "new"},
    ]


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("content_filter", {"type": "finish", "finishReason": "content-filter"}),
        ("odd", {"type": "finish", "finishReason": "other"}),
        ("stopped", {"type": "abort"}),
    ],
)
def test_the_ai_sdk_gets_reasons_that_it_knows(reason, part):
    news = news_of(*pieces_of({"content": "x"}, reason=reason))
    assert parts_of(Form("ai-sdk").encode(news))[-2] == part


ODD = [b"", b"null", b"[1]", b"{", b'{"choices":3}', b'{"choices":[7]}', b"\xff\xfe"]
ODD += [b'{"choices":[{"index":0,"delta":"x","finish_reason":"stop"}]}']
ODD += [b'{"choices":[{"index":"0","delta":{"tool_calls":"x"}}]}']
ODD += [
    b'{"choices":[{"index":0,"delta":{"reasoning_content":5,"tool_calls":5}}],"usage":{"x":[]}}'
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("json", ODD)
def test_a_chunk_that_is_not_one_harms_nothing(form, json):
    pieces = [Piece(RANK, 0, "text", json), Piece(RANK, 1, "", json, final=True)]
    assert Form(form).encode(news_of(*pieces))
