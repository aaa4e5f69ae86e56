"""Odd deltas of a topic and odd entries of a journal: an outcome, or none, but no exception."""

from __future__ import annotations

import json

import orjson
import pytest
from odd_values import variants

from ritellm import follow
from transforms import Completion, DeadLetter, Delta, Prompt
from transforms.assembly.delta_sum import DeltaSum
from transforms.columns import fits
from transforms.serialization import to_bytes, to_delta
from transforms.worker.recorded.entries import from_value, to_value

CHUNK = {"id": "x", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
OUTCOME = {
    "attempts": 1,
    "ended_at": 1.0,
    "timing": {"ttft": 0.1, "inter_chunk": {"p50": 0.1, "p95": 0.2}, "total": 1.0},
    "cost_usd": 0.1,
    "wasted_tokens": 0,
    "wasted_cost_usd": 0.0,
    "waste_estimated": False,
}


def assembled(chunk, outcome):
    deltas = DeltaSum()
    deltas.add(Delta("a", 1, 0, "Hi", None, chunk))
    deltas.add(Delta("a", 1, 1, "", None, '{"choices":[]}', True, outcome, '{"row":1}'))
    return deltas.outcome()


def texts(document):
    """Yield the JSON of each odd variant of `document`, as far as it can be written."""
    for name, odd in variants(document):
        if not name.endswith("deep"):
            yield name, orjson.dumps(odd).decode()
    yield from (("no JSON", "{"), ("empty", ""), ("deep", "[" * 300 + "]" * 300))


def test_deltas_that_are_as_they_should_be_become_a_completion():
    assert isinstance(assembled(orjson.dumps(CHUNK), orjson.dumps(OUTCOME)), Completion)


@pytest.mark.parametrize(("name", "chunk"), [*texts(CHUNK)])
def test_an_odd_chunk_becomes_an_outcome(name, chunk):
    outcome = assembled(chunk, orjson.dumps(OUTCOME).decode())
    assert isinstance(outcome, (Completion, DeadLetter))
    assert fits(outcome)


@pytest.mark.parametrize(("name", "said"), [*texts(OUTCOME)])
def test_an_odd_outcome_in_a_final_delta_becomes_an_outcome(name, said):
    outcome = assembled(orjson.dumps(CHUNK).decode(), said)
    assert isinstance(outcome, (Completion, DeadLetter))
    assert fits(outcome)
    assert outcome.input == '{"row":1}'


@pytest.mark.parametrize(("name", "said"), [*texts(OUTCOME)])
def test_an_odd_outcome_in_a_final_delta_is_written_as_json_that_can_be_read(name, said):
    made = Delta("a", 1, 1, "", None, '{"choices":[]}', True, said, "no json")
    row = json.loads(to_bytes(made))
    assert row["input"] == "no json"
    again = to_delta(to_bytes(made))
    assert json.loads(again.outcome or "null") == row["outcome"]
    assert json.loads(again.input) == "no json"
    [event] = list(follow([row]))
    assert event.id == "a"


def test_a_completion_with_deltas_names_their_submission_in_its_row():
    made = assembled(orjson.dumps(CHUNK).decode(), orjson.dumps(OUTCOME).decode())
    assert "submission" not in orjson.loads(to_bytes(made))
    of_deltas = orjson.loads(to_bytes(made._replace(submission="a.b.c")))
    assert list(of_deltas)[:3] == ["id", "submission", "text"]
    assert of_deltas["submission"] == "a.b.c"


def test_an_odd_value_in_a_journal_counts_as_no_completion():
    prompt = Prompt("a", "{}")
    entry = assembled(orjson.dumps(CHUNK).decode(), orjson.dumps(OUTCOME).decode())
    stored = orjson.loads(to_value(entry))
    assert from_value(orjson.dumps(stored), prompt) is not None
    for name in stored.keys() - {"id", "input", "place"}:
        assert from_value(orjson.dumps({**stored, name: ["odd"]}), prompt) is None
    for odd in ("", "no json", "[]", '{"choices": 1}', '{"choices": ["odd"]}', "[" * 2000):
        assert from_value(orjson.dumps({**stored, "completion": odd}), prompt) is None
    assert from_value(b"[]", prompt) is None
    assert from_value(b"{", prompt) is None


def test_a_delta_of_a_topic_has_the_types_of_its_columns_or_is_refused():
    row = orjson.loads(to_bytes(Delta("a", 1, 0, "x", None, orjson.dumps(CHUNK).decode())))
    assert to_delta(orjson.dumps(row)).text == "x"
    for name in row.keys() - {"chunk"}:
        with pytest.raises(ValueError, match="not a delta"):
            to_delta(orjson.dumps({**row, name: {"odd": 1}}))
