"""Deltas become records; only the records of whole answers are assembled."""

from __future__ import annotations

import itertools

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritellm.structured.paths import parse_path
from transforms import DeadLetter, Delta, Record
from transforms.records.whole import whole_answer
from transforms.worker.records.checking import Checking
from transforms.worker.records.reading import DeltaRecords

FIRST = "9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4"
SECOND = "9f86d081884c7d65.0197a3c5ffff.000000000000"


def deltas_of(*texts, id="a", submission=FIRST, attempt=1, final=True, finish_reason="stop"):
    made = []
    for seq, text in enumerate(texts):
        choice = {"index": 0, "delta": {"content": text}}
        if seq == len(texts) - 1:
            choice["finish_reason"] = finish_reason
        chunk = orjson.dumps({"choices": [choice]}).decode()
        made.append(Delta(id, attempt, seq, text, None, chunk, submission=submission))
    if final:
        end = (
            id,
            attempt,
            len(texts),
            "",
            None,
            '{"choices":[]}',
            True,
            '{"attempts":1}',
            '{"n":1}',
        )
        made.append(Delta(*end, submission))
    return made


def read(deltas, schema=None, path="$.items[*]"):
    reader = DeltaRecords(parse_path(path), Checking.of(schema).check)
    return [found for delta in deltas for found in reader.add(delta)]


def test_each_record_has_the_name_of_its_answer():
    found = read(deltas_of('{"items": [{"a": 1}', ", 2]}"))
    assert found == [
        Record("a", FIRST, 1, 0, "$.items[0]", '{"a": 1}', True),
        Record("a", FIRST, 1, 1, "$.items[1]", "2", True),
        Record(
            "a", FIRST, 1, 2, "$", None, True, final=True, outcome='{"attempts":1}', input='{"n":1}'
        ),
    ]


def test_a_record_comes_out_with_the_delta_that_closes_it():
    reader = DeltaRecords(parse_path("$[*]"))
    seen = [[r.value for r in reader.add(delta)] for delta in deltas_of("[1", ",", '"b', '"', "]")]
    assert seen == [[], ["1"], [], ['"b"'], [], [None]]


def test_a_record_that_does_not_fit_the_schema_is_not_valid():
    pytest.importorskip("jsonschema_rs")
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    good, bad, odd, final = read(deltas_of('{"items": [{"n": 1}, {"n": "x"}, 3]}'), schema)
    assert (good.valid, good.message) == (True, None)
    assert (bad.valid, bad.message) == (False, '$.n (type): "x" is not of type "integer"')
    assert (odd.valid, odd.message) == (False, '$ (type): 3 is not of type "object"')
    assert (final.valid, final.index) == (True, 3)


def test_a_schema_may_be_json_and_must_be_one():
    pytest.importorskip("jsonschema_rs")
    assert Checking.of('{"type": "string"}').check(1) == '$ (type): 1 is not of type "string"'
    assert Checking.of(None).check(1) == ""
    for odd in (3, ["x"], '{"type": "strin"}', {"type": 3}, "{"):
        with pytest.raises(ValueError, match=r".+"):
            Checking.of(odd)


@pytest.mark.parametrize(
    ("texts", "reason", "error_type", "message", "before"),
    [
        (
            ['{"items": [1, 2, 3'],
            "length",
            "RecordsTruncated",
            "the JSON has not ended (finish_reason 'length'); 2 records came before",
            ["1", "2"],
        ),
        (
            ['{"items": [1, 2', ",]}"],
            "stop",
            "RecordsInvalid",
            "expected a value, got ']' at position 16; 2 records came before",
            ["1", "2"],
        ),
        (
            ["I cannot do that."],
            "stop",
            "RecordsInvalid",
            "the text has no JSON with $.items[*] at position 17; 0 records came before",
            [],
        ),
    ],
)
def test_an_answer_without_whole_json_is_incomplete(texts, reason, error_type, message, before):
    *records, letter = read(deltas_of(*texts, finish_reason=reason))
    assert [record.value for record in records] == before
    assert isinstance(letter, DeadLetter)
    assert (letter.id, letter.error_type, letter.message) == ("a", error_type, message)
    assert (letter.retryable, letter.input) == (True, '{"n":1}')


def test_an_odd_chunk_makes_its_answer_incomplete():
    for chunk in ("", "[]", "{", '{"choices": 3}', '{"choices": [{"delta": 3}]}'):
        odd = Delta("a", 1, 0, "", None, chunk, submission=FIRST)
        (letter,) = read([odd, deltas_of()[0]])
        assert letter.error_type == "RecordsInvalid"


def test_a_new_attempt_starts_again():
    old = deltas_of('{"items": [1, 2, ', final=False)
    new = deltas_of('{"items": [3]}', attempt=2)
    found = read([*old, new[0], old[0], new[1]])
    assert [(r.attempt, r.index, r.value) for r in found] == [
        (1, 0, "1"),
        (1, 1, "2"),
        (2, 0, "3"),
        (2, 1, None),
    ]


def test_answers_may_alternate():
    one, two = deltas_of("[1, ", "2]"), deltas_of("[3, ", "4]", id="b", submission=SECOND)
    found = read([each for pair in zip(one, two, strict=True) for each in pair], path="$[*]")
    assert [(r.id, r.value) for r in found] == [
        ("a", "1"),
        ("b", "3"),
        ("a", "2"),
        ("b", "4"),
        ("a", None),
        ("b", None),
    ]


# --- Whole answers ----------------------------------------------------------------------------

ANSWERS = {(FIRST, 1): 4, (FIRST, 2): 2, (SECOND, 1): 3, (SECOND, 2): 0}
RECORDS = [
    Record("a", submission, attempt, n, "$", f"{attempt}{n}", True, final=n == count)
    for (submission, attempt), count in ANSWERS.items()
    for n in range(count + 1)
]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(RECORDS), min_size=1, max_size=40))
def test_only_the_newest_whole_answer_comes_out_however_records_arrive(records):
    there = {(r.submission, r.attempt, r.index) for r in records}
    arrived = [(submission, attempt) for submission, attempt, _ in there]
    whole = [rank for rank, count in ANSWERS.items() if arrived.count(rank) == count + 1]
    found = whole_answer("a", records)
    if not whole:
        assert isinstance(found, DeadLetter)
        assert (found.id, found.error_type) == ("a", "IncompleteRecords")
        return
    newest = max(whole)
    assert [(r.submission, r.attempt, r.index) for r in found] == [
        (*newest, n) for n in range(ANSWERS[newest])
    ]
    assert not any(record.final for record in found)


def test_a_record_beyond_the_end_does_not_belong_to_the_answer():
    two = [r for r in RECORDS if (r.submission, r.attempt) == (FIRST, 2)]
    odd = two[0]._replace(index=2, value="odd")
    for order in itertools.permutations([*two, odd]):
        assert [r.value for r in whole_answer("a", order)] == ["20", "21"]
