"""Answers that are checked while they arrive: streams of the client, and the early stop."""

from __future__ import annotations

import asyncio

import pytest
from fake_server import Stall, api_error, chat_events, chat_stream, stream

pytest.importorskip("jsonschema_rs")

import ritellm
from ritellm import Answer

MESSAGES = [{"role": "user", "content": "good or bad?"}]
ANSWER = Answer("label:enum(good,bad), why:str")
GOOD = '{"label": "good", "why": "it works"}'
UGLY = ['{"label": "ugly"', ', "why": ', '"it is so ', "long"]


def endless(pieces):
    """Stream the beginning of an answer that never ends."""
    return stream(*chat_events(pieces)[: len(pieces) + 1], Stall())


class Face:
    """Reads a stream of either face."""

    def __init__(self, kind, server):
        self._kind, self._server = kind, server

    def given(self, arguments):
        return {"base_url": self._server.base_url, "api_key": "k", "answer": ANSWER} | arguments

    def whole(self, **arguments):
        given = self.given(arguments)
        if self._kind == "sync":
            return ritellm.completion("openai/m", MESSAGES, **given)
        return asyncio.run(ritellm.acompletion("openai/m", MESSAGES, **given))

    def streamed(self, **arguments):
        """Return the chunks, and the stream at its end."""
        given = self.given(arguments) | {"stream": True}
        if self._kind == "sync":
            opened = ritellm.completion("openai/m", MESSAGES, **given)
            return list(opened), opened

        async def read():
            opened = await ritellm.acompletion("openai/m", MESSAGES, **given)
            return [chunk async for chunk in opened], opened

        return asyncio.run(read())


@pytest.fixture(params=["sync", "async"])
def face(request, fake_server):
    return Face(request.param, fake_server)


def texts(chunks, attempt):
    return "".join(
        choice.delta.content or ""
        for chunk in chunks
        if chunk.attempt == attempt
        for choice in chunk.choices
    )


def test_a_valid_answer_is_streamed_and_parsed_at_the_end(face, fake_server):
    fake_server.enqueue(chat_stream(GOOD))
    chunks, opened = face.streamed()
    assert texts(chunks, 1) == GOOD
    assert opened.completion.parsed == {"label": "good", "why": "it works"}
    assert (opened.attempts, opened.attempt) == (1, 1)


def test_a_wrong_answer_is_left_early_and_the_next_request_is_the_next_attempt(face, fake_server):
    fake_server.enqueue(endless(UGLY), chat_stream(GOOD))
    chunks, opened = face.streamed()
    assert "".join(UGLY).startswith(texts(chunks, 1))
    assert UGLY[0] in texts(chunks, 1)
    assert texts(chunks, 2) == GOOD
    assert {chunk.attempt for chunk in chunks} == {1, 2}
    places = [(chunk.attempt, chunk.seq) for chunk in chunks]
    assert len(set(places)) == len(places)
    built = ritellm.stream_chunk_builder(chunks)
    assert built.choices[0].message.content == GOOD
    assert opened.completion.parsed["label"] == "good"
    assert opened.completion.answer.reasks == 1
    assert (opened.attempts, opened.attempt) == (2, 2)
    assert opened.usage["total_tokens"] > built.usage["total_tokens"]
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_a_whole_completion_is_left_early_too(face, fake_server):
    fake_server.enqueue(endless(UGLY), chat_stream(GOOD))
    done = face.whole()
    assert done.parsed["label"] == "good"
    said = fake_server.requests[1].json["messages"][-1]["content"]
    assert '$.label (enum): "ugly" is not one of "good" or "bad"' in said
    fake_server.wait_until(lambda: fake_server.cancelled == 1)


def test_an_answer_that_stays_wrong_raises_from_the_stream_with_what_all_have_cost(
    face, fake_server
):
    fake_server.enqueue(*[endless(UGLY)] * 2)
    with pytest.raises(ritellm.AnswerInvalid) as caught:
        face.streamed(answer=Answer("label:enum(good,bad), why:str", reasks=1))
    error = caught.value
    assert (error.path, error.rule, error.attempts) == ("$.label", "enum", 2)
    assert UGLY[0] in error.partial.choices[0].message.content
    assert error.partial.usage["completion_tokens"] > 0
    assert error.partial.usage_source == "estimated"
    assert str(error).startswith("openai/m: the answer is not valid: $.label (enum)")


def test_a_request_that_fails_after_a_wrong_answer_raises_its_error(face, fake_server):
    fake_server.enqueue(endless(UGLY), api_error(400))
    with pytest.raises(ritellm.BadRequestError):
        face.whole()


def test_a_stream_that_is_left_by_its_caller_asks_nothing_more(fake_server):
    fake_server.enqueue(endless(UGLY))
    opened = ritellm.completion(
        "openai/m",
        MESSAGES,
        stream=True,
        base_url=fake_server.base_url,
        api_key="k",
        answer=ANSWER,
    )
    with opened:
        next(opened)
    assert list(opened) == []
    assert len(fake_server.requests) == 1


def test_records_of_a_wrong_answer_are_replaced(fake_server):
    schema = {"type": "object", "properties": {"items": {"items": {"type": "integer"}}}}
    fake_server.enqueue(chat_stream('{"items": [1, "x"]}'), chat_stream('{"items": [3, 4]}'))
    opened = ritellm.completion(
        "openai/m",
        MESSAGES,
        stream=True,
        base_url=fake_server.base_url,
        api_key="k",
        answer=Answer(schema),
    )
    found = [(each.attempt, each.value) for each in ritellm.records(opened, "$.items[*]")]
    assert [each for each in found if each[0] == 2] == [(2, 3), (2, 4)]
    assert opened.completion.parsed == {"items": [3, 4]}
