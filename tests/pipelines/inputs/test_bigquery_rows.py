"""Rows of tables as lines of JSON, completions as rows of tables; no BigQuery needed."""

from __future__ import annotations

import datetime
import sys
from decimal import Decimal
from types import SimpleNamespace

import orjson
import pytest

from pipelines import bigquery
from pipelines.batch_complete import main
from pipelines.inputs import bigquery as inputs_bigquery
from pipelines.inputs import rows
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.tables.rows import is_json
from transforms.elements import Completion, DeadLetter, Prompt
from transforms.sinks.bigquery import columns_of, misfits

TABLE = bigquery.parse("bigquery:p:d.t")


def test_a_row_of_a_table_is_parsed_like_a_line_of_json():
    row = {"id": 7, "prompt": "x", "max_tokens": 9, "seen": datetime.date(2026, 1, 2), "none": None}
    prompt = rows.parse(inputs_bigquery.to_line(row, TABLE))
    assert isinstance(prompt, Prompt)
    assert prompt.id == "7"
    assert orjson.loads(prompt.request)["max_tokens"] == 9
    assert orjson.loads(prompt.input) == {
        "id": 7,
        "max_tokens": 9,
        "prompt": "x",
        "seen": "2026-01-02",
    }


def test_a_string_of_json_is_parsed_in_a_column_for_an_object():
    messages = [{"role": "user", "content": "x"}]
    row = {"messages": orjson.dumps(messages).decode(), "prompt": "[not this]", "stop": "["}
    prompt = rows.parse(inputs_bigquery.to_line(row, TABLE))
    assert orjson.loads(prompt.request) == {"messages": messages, "stop": "["}


def test_values_that_json_does_not_have_are_texts_as_in_the_other_formats():
    row = {
        "data": b"\x00\xff",
        "price": Decimal("1E+3"),
        "score": float("nan"),
        "parts": [{"data": b"", "low": float("-inf"), "x": 0.5}],
    }
    assert orjson.loads(inputs_bigquery.to_line(row, TABLE).text) == {
        "data": "AP8=",
        "price": "1000",
        "score": "NaN",
        "parts": [{"data": "", "low": "-Infinity", "x": 0.5}],
    }


def test_the_order_of_columns_does_not_change_the_name_of_a_row():
    one = inputs_bigquery.to_line({"prompt": "x", "price": Decimal("1.5")}, TABLE)
    other = inputs_bigquery.to_line({"price": Decimal("1.5"), "prompt": "x"}, TABLE)
    assert one == other
    assert one.id.startswith("t:")
    assert one.id != inputs_bigquery.to_line({"prompt": "y"}, TABLE).id


def test_the_dead_letter_of_an_unusable_row_of_a_table_names_the_row():
    letter = rows.parse(inputs_bigquery.to_line({"id": "a", "text": "x"}, TABLE))
    assert isinstance(letter, DeadLetter)
    assert letter.message.startswith("bigquery:p:d.t, row t:")
    assert letter.message.endswith("got id, text")


def test_a_completion_has_a_column_for_everything():
    values = {"id": "a", "text": "x", "completion": "{}", "attempts": 1, "ended_at": 0.0}
    completion = Completion(**{**dict.fromkeys(Completion._fields), **values})
    row = outputs_bigquery.to_row(completion)
    assert row.keys() == outputs_bigquery.schema().keys()
    assert row["ended_at"] == "1970-01-01T00:00:00+00:00"


@pytest.mark.parametrize("text", ["t", "d.t", "bigquery:t", "p:d.t.", "p:d/t", ""])
def test_a_text_that_does_not_name_a_table_is_refused(text):
    with pytest.raises(ValueError, match="expected PROJECT"):
        bigquery.parse(text)


def test_without_googles_client_the_error_names_the_package_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    argv = ["--input=bigquery:p:d.t", "--output=o", "--model=openai/m", "--base_url=http://x"]
    with pytest.raises(SystemExit) as exited:
        main([*argv, "--temp_location=gs://b/tmp"])
    assert exited.value.code == 2
    assert r"BigQuery needs Google's client: pip install" in capsys.readouterr().err


# --- Tables that answers stream into ------------------------------------------------------------


def column(name, kind, mode="NULLABLE"):
    return SimpleNamespace(name=name, field_type=kind, mode=mode)


ID = column("id", "STRING")


@pytest.mark.parametrize(
    "more",
    [
        [],
        [column(name, kind) for name, kind in columns_of(Completion).items() if name != "id"],
        [column("ended_at", "TIMESTAMP"), column("completion", "JSON")],
        [column("attempts", "INT64"), column("ttft", "FLOAT64"), column("shared", "BOOL")],
        [column("seen", "DATE"), column("text", "STRING", "REQUIRED")],
    ],
    ids=["the id alone", "all", "wider types", "names of standard SQL", "columns of its own"],
)
def test_rows_go_into_a_table_that_has_some_of_their_columns(more):
    assert misfits([ID, *more], Completion) == []


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ([column("id", "INTEGER")], "id is INTEGER, not STRING"),
        ([ID, column("attempts", "STRING")], "attempts is STRING, not INTEGER"),
        ([ID, column("team", "STRING", "REQUIRED")], "team must not be null"),
        ([column("text", "STRING")], "it has no column id"),
        ([], "it has no column id"),
    ],
)
def test_a_table_that_would_refuse_or_lose_rows_is_reported_before_the_job(schema, problem):
    assert misfits(schema, Completion) == [problem]


def test_a_table_of_completions_cannot_hold_failures():
    schema = [column(name, kind, "REQUIRED") for name, kind in columns_of(Completion).items()]
    assert "text must not be null" in misfits(schema, DeadLetter)


def test_the_columns_of_a_table_have_the_types_of_their_json():
    schema = inputs_bigquery.json_schema(
        {"id": "INTEGER", "score": "FLOAT", "ok": "BOOLEAN", "day": "DATE", "messages": "STRING"}
        | {"meta": "RECORD", "prompt": "STRING"}
    )
    assert [f"{field.name}: {field.type}" for field in schema] == [
        *("id: int64", "score: double", "ok: bool", "day: string", "messages: string"),
        *("meta: string", "prompt: string"),
    ]
    assert [field.name for field in schema if is_json(field)] == ["messages", "meta"]
