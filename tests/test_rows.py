"""Lines of input: what is asked, under which id, and what is said of a line that cannot be."""

from __future__ import annotations

import orjson
import pytest

from pipelines.rows import Line, parse
from transforms import DeadLetter, Prompt


def parsed(text):
    return parse(Line("data/in.jsonl", "in.jsonl", 7, text))


def body(row):
    prompt = parsed(orjson.dumps(row).decode())
    assert isinstance(prompt, Prompt), prompt
    return orjson.loads(prompt.request)


QUESTION = [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("row", "request_body"),
    [
        ({"prompt": "Why?"}, {"messages": QUESTION}),
        ({"messages": QUESTION}, {"messages": QUESTION}),
        ({"prompt": "Why?", "max_tokens": 5}, {"messages": QUESTION, "max_tokens": 5}),
        ({"prompt": "Why?", "topic": "x"}, {"messages": QUESTION}),
        ({"prompt": "no", "messages": QUESTION}, {"messages": QUESTION}),
        (
            {"custom_id": "1", "method": "POST", "body": {"model": "gpt-4o", "messages": QUESTION}},
            {"messages": QUESTION},
        ),
        (
            {"error_type": "Timeout", "message": "m", "input": {"prompt": "Why?"}},
            {"messages": QUESTION},
        ),
    ],
    ids=["prompt", "messages", "parameters", "other columns", "messages win", "batch", "failed"],
)
def test_a_row_says_what_is_asked(row, request_body):
    assert body(row) == request_body


@pytest.mark.parametrize(
    ("names", "id"),
    [
        ({"id": "a"}, "a"),
        ({"id": 12}, "12"),
        ({"id": 0}, "0"),
        ({"custom_id": "c"}, "c"),
        ({}, "in.jsonl:7"),
        ({"id": ""}, "in.jsonl:7"),
        ({"id": None, "custom_id": "c"}, "c"),
        ({"id": True}, "in.jsonl:7"),
    ],
)
def test_a_row_is_named_by_its_id_or_by_its_place(names, id):
    assert parsed(orjson.dumps({**names, "prompt": "x"}).decode()).id == id


def test_the_outcome_carries_the_row():
    assert parsed('{"prompt":"x", "topic":"é"}').input == '{"prompt":"x","topic":"é"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "must be a JSON object, not a list"),
        ("null", "must be a JSON object, not null"),
        ("3", "must be a JSON object, not a number"),
        ('{"text":"x"}', "no 'prompt' and no 'messages' in the row; it has text"),
        ("{}", "it has nothing"),
        ('{"prompt":" "}', "'prompt' is empty"),
        ('{"prompt":5}', "'prompt' is a number"),
        ('{"prompt":null}', "'prompt' is null"),
        (
            '{"error_type":"RowError","message":"m","input":"nonsense"}',
            "the failed row was no",
        ),
    ],
)
def test_a_row_that_cannot_be_asked_says_file_line_and_reason(text, reason):
    letter = parsed(text)
    assert isinstance(letter, DeadLetter)
    assert letter.message.startswith("data/in.jsonl, line 7: ")
    assert reason in letter.message
    assert letter.attempts == 0
    assert not letter.retryable


def test_an_unreadable_line_is_kept_as_it_was():
    assert orjson.loads(parsed('half "a line').input) == 'half "a line'


def test_a_completion_is_no_failed_row():
    line = {"id": "a", "error_type": None, "message": None, "input": {"prompt": "x"}}
    letter = parsed(orjson.dumps(line).decode())
    assert isinstance(letter, DeadLetter)
    assert "no 'prompt' and no 'messages' in the row" in letter.message


@pytest.mark.parametrize("row", ["nonsense", {"id": "a", "topic": "t"}])
def test_what_fails_again_keeps_the_row_that_first_came(row):
    line = {"id": "a", "error_type": "RowError", "message": "no", "input": row}
    letter = parsed(orjson.dumps(line).decode())
    assert isinstance(letter, DeadLetter)
    assert orjson.loads(letter.input) == row


def test_an_outcome_knows_where_its_row_stands():
    assert parsed('{"prompt": "x"}').place == "data/in.jsonl:7"
    assert parsed("nonsense").place == "data/in.jsonl:7"
