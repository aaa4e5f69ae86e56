"""Records of a streamed completion, as its chunks arrive."""

from __future__ import annotations

import asyncio

import pytest
from fake_server import chat_stream

import ritellm
from examples import stream_records
from ritellm.structured.errors import JsonError
from ritellm.types import Chunk


def chunk(text=None, *, finish_reason=None, calls=(), attempt=1, index=0):
    delta = {"content": text} if text is not None else {}
    if calls:
        delta["tool_calls"] = [
            {"index": n, "function": {"arguments": arguments}} for n, arguments in calls
        ]
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return Chunk({"choices": [choice]}).number(attempt, 0)


def of(*texts, finish_reason="stop"):
    return [*map(chunk, texts), chunk(finish_reason=finish_reason), Chunk({"choices": []})]


def values(chunks, path="$.items[*]"):
    return [record.value for record in ritellm.records(chunks, path)]


def test_a_record_comes_out_before_the_next_chunk_is_read():
    read = []

    def chunks():
        for text in ('{"items": [', '{"a": 1}', ", 2", "]}"):
            read.append(text)
            yield chunk(text)

    found = ritellm.records(chunks(), "$.items[*]")
    first = next(found)
    assert (first.index, first.path, first.value) == (0, "$.items[0]", {"a": 1})
    assert (first.raw, first.attempt, first.tool_call) == ('{"a": 1}', 1, None)
    assert read == ['{"items": [', '{"a": 1}']
    assert [record.value for record in found] == [2]


def test_the_end_tells_why_the_model_stopped():
    found = ritellm.records(of('{"items": [1', "]}", " Bye."), "$.items[*]")
    assert found.finish_reason is None
    assert [record.value for record in found] == [1]
    assert (found.finish_reason, found.truncated, found.rest) == ("stop", False, " Bye.")
    assert found.count == 1
    assert list(found) == []


def test_an_answer_that_is_cut_off_is_truncated():
    found = ritellm.records(of('{"items": [1, 2, 34', finish_reason="length"), "$.items[*]")
    assert [record.value for record in found] == [1, 2]
    assert (found.finish_reason, found.truncated) == ("length", True)


def test_an_answer_that_is_cut_off_before_the_json_is_truncated():
    found = ritellm.records(of("Let me think", finish_reason="length"), "$.items[*]")
    assert list(found) == []
    assert found.truncated


def test_an_answer_without_json_is_an_error():
    with pytest.raises(JsonError, match=r"the text has no JSON with \$\.items\[\*\]"):
        values(of("I cannot help with that."))


def test_records_before_a_fault_come_out_first():
    found = ritellm.records(of('{"items": [1, 2, oops]}'), "$.items[*]")
    assert [next(found).value, next(found).value] == [1, 2]
    for _ in range(2):
        with pytest.raises(JsonError, match="expected a value, got 'o' at position 17"):
            next(found)


def test_records_are_in_the_arguments_of_tool_calls():
    chunks = [
        chunk(None, calls=[(0, '{"items": [1')]),
        chunk(None, calls=[(1, '{"items": [3, '), (0, ", 2]}")]),
        chunk(None, calls=[(1, "4]}")]),
        chunk(finish_reason="tool_calls"),
    ]
    found = [(r.index, r.tool_call, r.value) for r in ritellm.records(chunks, "$.items[*]")]
    assert found == [(0, 1, 3), (1, 0, 1), (2, 0, 2), (3, 1, 4)]
    assert values([chunk(None, calls=[(n, '{"a": 1}')]) for n in range(2)], "$") == [{"a": 1}] * 2


def test_the_first_choice_counts():
    assert values([chunk('{"items": [1'), chunk("x", index=1), chunk("]}")]) == [1]


def test_another_attempt_starts_again():
    chunks = [
        chunk('{"items": [1, 2, '),
        chunk('{"items": [3, ', attempt=2),
        chunk("4]}", attempt=2),
    ]
    found = ritellm.records(chunks, "$.items[*]")
    assert [(r.attempt, r.index, r.value) for r in found] == [
        (1, 0, 1),
        (1, 1, 2),
        (2, 0, 3),
        (2, 1, 4),
    ]
    assert (found.attempt, found.count, found.truncated) == (2, 2, False)


def test_a_path_that_is_not_followed_is_an_error_at_once():
    with pytest.raises(ValueError, match="a path must be made of"):
        ritellm.records([], "$..items")


HI = [{"role": "user", "content": "Hi"}]
TEXT = '```json\n{"items": [{"name": "é", "n": 1}, {"name": "b", "n": 2}]}\n```'


def test_a_real_stream_has_records_and_its_facts():
    with ritellm.completion("openai/m", HI, stream=True, mock_response=TEXT) as stream:
        found = ritellm.records(stream, "$.items[*].name")
        assert [record.value for record in found] == ["é", "b"]
    assert found.finish_reason == "stop"
    assert stream.completion.choices[0].message.content == TEXT


def test_an_asynchronous_stream_has_the_same_records():
    async def read():
        stream = await ritellm.acompletion("openai/m", HI, stream=True, mock_response=TEXT)
        found = ritellm.records(stream, "$.items[*]")
        seen = [record.value["n"] async for record in found]
        await found.aclose()
        return seen, found.finish_reason

    assert asyncio.run(read()) == ([1, 2], "stop")


def test_the_example_prints_each_record(fake_server, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    fake_server.enqueue(chat_stream('{"items": [{"n": 1}, 2]}'), chat_stream("No."))
    stream_records.main("openai/m", "List.")
    assert capsys.readouterr().out == '$.items[0]  {"n": 1}\n$.items[1]  2\n'
    with pytest.raises(SystemExit, match="the answer is not JSON: the text has no JSON"):
        stream_records.main("openai/m", "List.")


def test_leaving_the_records_leaves_the_stream():
    closed = []

    class Stream:
        def __iter__(self):
            return iter([chunk('{"items": [1, 2]}')])

        def close(self):
            closed.append(True)

    found = ritellm.records(Stream(), "$.items[*]")
    next(found)
    found.close()
    assert closed == [True]
