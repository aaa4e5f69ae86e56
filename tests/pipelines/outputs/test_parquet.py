"""Outcomes as Parquet: one schema for all files, the types of the input, and no value lost."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from arrow_columns import columns
from hypothesis import given, settings
from outcomes import completion, failed, written

from pipelines.outputs.formats import parquet
from pipelines.outputs.formats.parquet import Parquet
from pipelines.tables.inference import MOST_COLUMNS, infer_schema
from pipelines.tables.rows import Restorer, is_json, row_texts
from transforms.elements import Completion, DeadLetter

SCHEMA = pa.schema([("id", pa.int64()), ("prompt", pa.string()), ("price", pa.decimal128(9, 2))])


def table(data):
    return pq.read_table(io.BytesIO(data))


def of(*outcomes, schema=SCHEMA):
    kind = type(outcomes[0]) if outcomes else Completion
    return table(written(Parquet(kind, schema), *outcomes))


def test_a_completion_has_the_columns_of_the_input_and_then_ours_with_their_types():
    found = of(completion("7", input={"id": 7, "prompt": "x", "price": "12.50"}))
    assert [f"{field.name}: {field.type}" for field in found.schema] == [
        *("id: int64", "prompt: string", "price: decimal128(9, 2)"),
        *("ritellm_id: string", "text: string", "finish_reason: string"),
        *("truncated: bool", "shared: bool", "tool_calls: string", "reasoning: string"),
        *("model: string", "prompt_tokens: int64", "completion_tokens: int64"),
        *("total_tokens: int64", "cached_tokens: int64", "reasoning_tokens: int64"),
        *("cost_usd: double", "wasted_tokens: int64", "wasted_cost_usd: double"),
        *("waste_estimated: bool", "ttft: double", "inter_chunk_p50: double"),
        *("inter_chunk_p95: double", "seconds: double", "ended_at: timestamp[us, tz=UTC]"),
        *("attempts: int64", "completion: string", "other_input: string"),
    ]
    [row] = found.to_pylist()
    assert (row["id"], row["price"]) == (7, Decimal("12.50"))
    assert (row["ritellm_id"], row["text"], row["cost_usd"]) == ("7", "an answer", 0.0001)
    assert row["ended_at"] == dt.datetime(2023, 11, 14, 22, 13, 20, 250_000, dt.timezone.utc)
    assert orjson.loads(row["completion"])["id"] == "c-1"
    assert row["other_input"] is None
    assert [f.name for f in found.schema if is_json(f)] == [
        "tool_calls",
        "completion",
        "other_input",
    ]


def test_a_failed_row_has_the_columns_of_the_input_and_its_reason():
    found = of(failed("7", {"id": 7, "prompt": "x", "price": None}, ended_at=1e18, seconds=0.5))
    assert found.schema.names == [
        *("id", "prompt", "price", "ritellm_id", "error_type", "message", "status_code"),
        *("retryable", "attempts", "partial_text", "prompt_tokens", "completion_tokens"),
        *("total_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "wasted_tokens"),
        *("wasted_cost_usd", "waste_estimated", "seconds", "ended_at", "other_input"),
    ]
    [row] = found.to_pylist()
    assert (row["id"], row["error_type"], row["status_code"]) == (7, "BadRequestError", 400)
    assert (row["seconds"], row["ended_at"]) == (0.5, None)  # no calendar has this time


def test_all_files_have_one_schema_also_those_of_nulls():
    full = of(
        completion(input={"id": 1, "prompt": "x", "price": "1.00"}, message={"tool_calls": [1]})
    )
    nulls = of(completion(input={}, model=None, cost_usd=None, ttft=None, ended_at=None))
    nothing = table(written(Parquet(Completion, SCHEMA)))
    assert full.schema.equals(nulls.schema, check_metadata=True)
    assert full.schema.equals(nothing.schema, check_metadata=True)
    assert nothing.num_rows == 0


def test_what_does_not_fit_is_kept_as_json():
    found = of(
        completion(input={"id": "seven", "prompt": "x", "new": 1}),
        completion(input={"id": 1}),
        completion(input=None),
    )
    assert found.column("id").to_pylist() == [None, 1, None]
    assert found.column("other_input").to_pylist() == ['{"new":1,"id":"seven"}', None, None]


def test_an_unreadable_row_is_kept_whole():
    assert of(failed(input='"{\\"id\\": "')).column("other_input").to_pylist() == ['"{\\"id\\": "']


@settings(max_examples=100, deadline=None)
@given(columns())
def test_a_column_of_any_type_is_in_the_file_as_arrow_itself_would_write_it(column):
    given = pa.RecordBatch.from_arrays([column], names=["x"])
    rows = [completion()._replace(input=row.text) for row in row_texts(given)]
    found = of(*rows, schema=given.schema).column("x").combine_chunks()
    file = io.BytesIO()
    pq.write_table(pa.table({"x": column}), file)
    expected = table(file.getvalue()).column("x").combine_chunks()
    assert found.type == expected.type
    assert found.equals(expected)


def test_rows_are_in_row_groups_of_some_size(monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS", 10)
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 30)
    rows = [completion(f"{n}", input={"id": n}) for n in range(75)]
    file = pq.ParquetFile(io.BytesIO(written(Parquet(Completion, SCHEMA), *rows)))
    groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [30, 30, 15]
    assert {groups[0].column(n).compression for n in range(groups[0].num_columns)} == {"ZSTD"}
    assert file.read().column("id").to_pylist() == list(range(75))


def test_a_large_row_does_not_wait_for_others(monkeypatch):
    monkeypatch.setattr(parquet, "_BYTES", 1_000)
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 1_000)
    rows = [completion(f"{n}", text="x" * 2_000, input={"id": n}) for n in range(3)]
    file = pq.ParquetFile(io.BytesIO(written(Parquet(Completion, SCHEMA), *rows)))
    assert file.num_row_groups == 3


# --- Rows without a schema -----------------------------------------------------------------------


def inferred(*texts):
    return {
        field.name: "json" if is_json(field) else str(field.type) for field in infer_schema(texts)
    }


def test_the_first_rows_decide_about_the_types_of_json_lines():
    assert inferred(
        '{"s":"a","i":1,"f":1,"b":true,"big":9007199254740993,"huge":18446744073709551616,"n":null}',
        '{"s":null,"i":-5,"f":0.5,"b":false,"big":1,"l":[1],"o":{"a":1},"mixed":1}',
        '{"mixed":"x","late":true}',
        "not JSON",
        "[1]",
    ) == {
        "s": "string",
        "i": "int64",
        "f": "double",
        "b": "bool",
        "big": "int64",
        "huge": "json",
        "n": "string",
        "l": "json",
        "o": "json",
        "mixed": "json",
        "late": "bool",
    }


def test_integers_that_a_float_would_round_are_kept_as_json():
    assert inferred('{"x":9007199254740993}', '{"x":0.5}') == {"x": "json"}


def test_the_number_of_columns_is_bounded():
    rows = (f'{{"c{n}":1}}' for n in range(MOST_COLUMNS + 10))
    assert len(infer_schema(rows)) == MOST_COLUMNS


def test_no_value_of_json_lines_is_lost():
    texts = ['{"x":1}', '{"x":"a","y":{"z":[18446744073709551616]}}', '{"x":null}', '{"x":true}']
    schema = infer_schema(texts[:1])
    found = of(*(completion()._replace(input=text) for text in texts), schema=schema)
    assert found.column("x").to_pylist() == [1, None, None, None]
    assert found.column("other_input").to_pylist() == [
        None,
        '{"y":{"z":[18446744073709551616]},"x":"a"}',
        None,
        '{"x":true}',
    ]


def test_the_types_of_failed_rows_are_found_again_in_their_file():
    schema = infer_schema(['{"id":1,"messages":[{"role":"user"}],"max_tokens":5}'])
    found = of(failed(input={"id": 1, "messages": [], "max_tokens": 5}), schema=schema)
    [batch] = found.select(["id", "messages", "max_tokens"]).to_batches()
    [row] = row_texts(batch)
    assert row.text == '{"id":1,"messages":[],"max_tokens":5}'
    assert Restorer(batch.schema).fields == Restorer(schema).fields


def test_a_parquet_format_of_failed_rows_can_be_pickled_after_use():
    format = Parquet(DeadLetter, SCHEMA)
    written(format, failed())
    assert table(written(format, failed())).num_rows == 1
