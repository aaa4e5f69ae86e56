"""Lines of input: what is asked, under which id, and what is said of a line that cannot be."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inputs.columns import PARAMETERS
from pipelines.inputs.rows import Line, parse, read, to_line
from ritellm.calls.params import CALLER_ONLY
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
        ({"prompt": "Why?", "topic": "x", "seed": None}, {"messages": QUESTION}),
        ({"prompt": "no", "messages": QUESTION}, {"messages": QUESTION}),
        (
            {"custom_id": "1", "body": {"model": "gpt-4o", "seed": None, "messages": QUESTION}},
            {"messages": QUESTION},
        ),
        (
            {"error_type": "Timeout", "message": "m", "input": {"prompt": "Why?"}},
            {"messages": QUESTION},
        ),
        ({"prompt": "Why?", "messages": []}, {"messages": QUESTION}),
        ({"prompt": "Why?", "body": {"messages": None, "model": None}}, {"messages": QUESTION}),
        ({"prompt": "Why?", "body": {}, "messages": None}, {"messages": QUESTION}),
        (
            {"prompt": "Why?", "error_type": "TypeError", "message": "m", "input": "f(x)"},
            {"messages": QUESTION},
        ),
        (
            {"prompt": "Why?", "error_type": "T", "message": "m", "input": {"prompt": "Old?"}},
            {"messages": QUESTION},
        ),
        (
            {"messages": QUESTION, "error_type": "T", "message": "m", "input": {"prompt": "Old?"}},
            {"messages": QUESTION},
        ),
    ],
    ids=[
        *["prompt", "messages", "parameters", "other columns", "messages win", "batch", "failed"],
        *["empty messages", "null body", "empty body"],
        *["columns of an error", "a row in input", "messages and a row in input"],
    ],
)
def test_a_row_contains_its_request(row, request_body):
    assert body(row) == request_body


@pytest.mark.parametrize(
    ("names", "id"),
    [
        ({"id": "a"}, "a"),
        ({"id": 12}, "12"),
        ({"id": 0}, "0"),
        ({"id": 3.0}, "3"),  # pandas writes integers so if some are missing
        ({"id": 3.5}, "in.jsonl:7"),
        ({"custom_id": "c"}, "c"),
        ({}, "in.jsonl:7"),
        ({"id": ""}, "in.jsonl:7"),
        ({"id": None, "custom_id": "c"}, "c"),
        ({"id": True}, "in.jsonl:7"),
    ],
)
def test_a_row_gets_its_id_from_its_column_or_its_line(names, id):
    assert parsed(orjson.dumps({**names, "prompt": "x"}).decode()).id == id


def test_the_outcome_carries_the_row():
    assert parsed('{"prompt":"x", "topic":"é"}').input == '{"prompt":"x","topic":"é"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "not JSON"),
        ('{"prompt":"x", "score": NaN}', "); JSON has no NaN and no Infinity, write null"),
        ("[1]", "must be a JSON object, got a list"),
        ("null", "must be a JSON object, got null"),
        ("3", "must be a JSON object, got a number"),
        ('{"text":"x"}', "a row must have 'prompt' or 'messages', got text"),
        ("{}", "got nothing"),
        ('{"prompt":" "}', "'prompt' must not be empty"),
        ('{"prompt":5}', "'prompt' must be a text, got a number"),
        ('{"prompt":null}', "'prompt' must be a text, got null"),
        (
            '{"error_type":"RowError","message":"m","input":"nonsense"}',
            "'input' of a failed row must be a JSON object",
        ),
    ],
)
def test_the_dead_letter_of_an_unusable_row_names_file_line_and_reason(text, reason):
    letter = parsed(text)
    assert isinstance(letter, DeadLetter)
    assert letter.message.startswith("data/in.jsonl, line 7: ")
    assert reason in letter.message
    assert letter.attempts == 0
    assert not letter.retryable


def test_an_unreadable_line_is_kept_as_it_was():
    assert orjson.loads(parsed('half "a line').input) == 'half "a line'


def test_a_completion_is_not_mistaken_for_a_failed_row():
    line = {"id": "a", "error_type": None, "message": None, "input": {"prompt": "x"}}
    letter = parsed(orjson.dumps(line).decode())
    assert isinstance(letter, DeadLetter)
    assert "a row must have 'prompt' or 'messages'" in letter.message


@pytest.mark.parametrize("row", ["nonsense", {"id": "a", "topic": "t"}])
def test_a_row_that_fails_again_keeps_its_original_row(row):
    line = {"id": "a", "error_type": "RowError", "message": "no", "input": row}
    letter = parsed(orjson.dumps(line).decode())
    assert isinstance(letter, DeadLetter)
    assert orjson.loads(letter.input) == row


def test_a_row_with_columns_like_those_of_a_failed_row_comes_out_whole():
    row = {"prompt": "x", "error_type": "T", "message": "m", "input": {"prompt": "old"}}
    assert orjson.loads(parsed(orjson.dumps(row).decode()).input) == row
    row["prompt"] = " "
    assert orjson.loads(parsed(orjson.dumps(row).decode()).input) == row


def test_a_duplicate_that_is_fed_back_is_not_a_second_answer_to_its_id():
    line = {"id": "a", "error_type": "DuplicateIdError", "message": "m", "input": {"prompt": "x"}}
    letter = parsed(orjson.dumps(line).decode())
    assert isinstance(letter, DeadLetter)
    assert (letter.id, letter.error_type) == ("a", "DuplicateIdError")
    assert "give the row an id of its own" in letter.message
    assert orjson.loads(letter.input) == {"prompt": "x"}


def test_an_outcome_has_the_location_of_its_row():
    assert parsed('{"prompt": "x"}').place == "data/in.jsonl:7"
    assert parsed("nonsense").place == "data/in.jsonl:7"


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_row_may_set_every_parameter_of_completion(name):
    assert body({"prompt": "Why?", name: 1}) == {"messages": QUESTION, name: 1}
    assert body({"messages": QUESTION, name: [1]}) == {"messages": QUESTION, name: [1]}
    assert body({"body": {"messages": QUESTION, name: {}}}) == {"messages": QUESTION, name: {}}


@pytest.mark.parametrize("name", sorted(CALLER_ONLY))
def test_only_the_job_may_set_an_address_or_a_key(name):
    letter = parsed(orjson.dumps({"prompt": "Why?", name: "x"}).decode())
    assert isinstance(letter, DeadLetter)
    assert f"line 7: a row may not set {name}: only the job may; rename" in letter.message
    assert isinstance(parsed(orjson.dumps({"prompt": "Why?", name: None}).decode()), Prompt)
    letter = parsed(orjson.dumps({"body": {"messages": QUESTION, name: "x"}}).decode())
    assert letter.message.endswith(f"line 7: a row may not set {name}: only the job may")


def test_an_unknown_name_in_a_body_is_passed_on_and_refused_later():
    assert body({"body": {"messages": QUESTION, "temprature": 1}})["temprature"] == 1


@pytest.mark.parametrize(
    ("column", "remedy"),
    [
        ("temprature", "did you mean temperature?"),
        ("max_token", "did you mean max_tokens?"),
        ("maxTokens", "did you mean max_tokens?"),
        ("max_output_tokens", "did you mean max_tokens?"),
        ("num_predict", "did you mean max_tokens?"),
        ("reasoning", "did you mean reasoning_effort?"),
        ("stop_sequences", "did you mean stop?"),
        ("topP", "did you mean top_p?"),
        ("system", "did you mean messages?"),
        ("generationConfig", "did you mean to put it into extra_body?"),
        ("model", "the job chooses the model (--model)"),
    ],
)
def test_a_column_that_looks_like_a_parameter_is_reported_with_a_suggestion(column, remedy):
    line = Line("in.jsonl", "in.jsonl", 7, orjson.dumps({"prompt": "x", column: 1}).decode())
    assert read(line).unused == ((column, remedy),)
    assert orjson.loads(read(line).row.request).keys() == {"messages"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "x", "topic": 1, "label": 2, "response": 3, "text": "t", "answer": "a"},
        {"prompt": "x", "user_id": 1, "title": 2, "category": 3, "language": 4, "date": 5},
        {"prompt": "x", "temperature": 1, "model": None, "temprature": None},
        {"custom_id": "a", "method": "POST", "url": "/v1", "body": {"model": "m", "messages": []}},
    ],
)
def test_columns_of_the_user_are_not_reported(row):
    line = Line("in.jsonl", "in.jsonl", 7, orjson.dumps(row).decode())
    assert read(line).unused == ()


def test_a_parameter_beside_a_body_is_not_sent_and_is_reported():
    row = {"body": {"messages": QUESTION}, "temperature": 1}
    line = Line("in.jsonl", "in.jsonl", 7, orjson.dumps(row).decode())
    assert read(line).unused == (("temperature", "put it into 'body'"),)


def key_of(row):
    return read(Line("a", "a", 7, orjson.dumps(row).decode()), by_content=True).row.key


def test_only_the_request_identifies_a_row_without_an_id():
    key = key_of({"prompt": "Why?", "max_tokens": 5, "topic": "x"})
    assert key == key_of({"max_tokens": 5, "messages": QUESTION})
    failed = {"id": "a:7", "error_type": "Timeout", "message": "m"}
    assert key == key_of({**failed, "input": {"prompt": "Why?", "max_tokens": 5}})
    assert key != key_of({"prompt": "Why?", "max_tokens": 6})
    assert key_of({"id": "a", "prompt": "Why?"}) is None
    assert key_of({**failed, "input": {"id": "a", "prompt": "Why?"}}) is None
    assert parsed('{"prompt": "Why?"}').key is None


NAMES = st.sampled_from(sorted(PARAMETERS | CALLER_ONLY | {"body", "id", "input", "prompt"}))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(row=st.dictionaries(NAMES | st.text(max_size=5), ANYTHING, max_size=4))
def test_no_row_breaks_a_job(row):
    line = Line("a", "a", 7, json.dumps(row))
    assert isinstance(read(line, by_content=True).row, (Prompt, DeadLetter))


@pytest.mark.parametrize("number", [1, 7])
def test_a_byte_order_mark_before_any_line_is_no_part_of_the_row(number):
    line = to_line("in.jsonl", "in.jsonl", number, b'\xef\xbb\xbf{"id":"a","prompt":"x"}')
    prompt = parse(line)
    assert (prompt.id, prompt.input) == ("a", '{"id":"a","prompt":"x"}')
