"""Files of failed rows in any format of output are input again, with the rows as they were."""

from __future__ import annotations

import csv
import io

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from outcomes import failed, written

from pipelines.outputs.formats.csv import Csv
from pipelines.outputs.formats.parquet import Parquet
from pipelines.tables.failed import failed_cells, failed_layout
from pipelines.tables.inference import infer_schema
from pipelines.tables.outcomes import FAILED
from pipelines.tables.rows import input_schema, row_texts
from transforms import exact_json
from transforms.elements import DeadLetter

ROWS = [
    '{"id":7,"prompt":"=1+1","price":"12.50","tags":["a",{"b":null}],"message":"theirs"}',
    '{"id":8,"prompt":"\'=x","price":null,"tags":null,"message":"","extra":18446744073709551616}',
    '{"id":9,"prompt":"-5","price":"","tags":"text","message":"0.5"}',
]
LETTERS = [failed(f"{n}", row) for n, row in enumerate(ROWS)]


def through_parquet(*letters, schema=None):
    schema = schema or infer_schema(ROWS[:1])
    file = written(Parquet(DeadLetter, schema), *letters)
    return pq.read_table(io.BytesIO(file))


def through_csv(*letters, raw=False, edit=lambda rows: rows):
    names = infer_schema(ROWS[:1]).names
    data = written(Csv(DeadLetter, names, raw), *letters).decode()
    header, *records = csv.reader(io.StringIO(data, newline=""))
    cells = failed_cells(header)
    rows = [[field or None for field in record] for record in edit(records)]
    return [cells.nested(row) for row in rows]


def without_nulls(row):
    return {name: value for name, value in row.items() if value is not None}


def test_a_parquet_file_of_failed_rows_has_the_rows_as_they_were():
    [batch] = through_parquet(*LETTERS).to_batches()
    found = [exact_json.loads(row.text) for row in row_texts(batch)]
    assert [row["input"] for row in found] == [exact_json.loads(row) for row in ROWS]
    assert [(row["id"], row["error_type"], row["message"]) for row in found] == [
        (f"{n}", "BadRequestError", "400: no") for n in range(3)
    ]


def test_a_parquet_file_that_another_program_wrote_again_has_them_too():
    table = through_parquet(*LETTERS).replace_schema_metadata(None)
    bare = pa.schema([pa.field(field.name, field.type) for field in table.schema])
    [batch] = table.cast(bare).to_batches()
    found = [exact_json.loads(row.text)["input"] for row in row_texts(batch)]
    assert found[1]["extra"] == 2**64
    assert found[0]["prompt"] == "=1+1"


def test_the_columns_of_failed_rows_are_those_of_the_original_rows():
    schema = infer_schema(ROWS[:1])
    assert input_schema(through_parquet(schema=schema).schema).names == schema.names
    assert input_schema(schema) is schema


@pytest.mark.parametrize("raw", [False, True])
def test_a_csv_file_of_failed_rows_has_the_rows_as_they_were(raw):
    found = through_csv(*LETTERS, raw=raw)
    # The reader of this test takes an empty text for null.
    wanted = [without_nulls(exact_json.loads(row)) for row in ROWS]
    wanted = [{name: v for name, v in row.items() if v != ""} for row in wanted]
    assert [without_nulls(row["input"]) for row in found] == wanted
    assert found[0]["id"] == "0"


def test_an_edited_cell_of_a_csv_file_counts():
    def edit(records):
        records[0][0] = "70"
        records[0][1] = "another prompt"
        records[0][3] = "[]"
        records[1][0] = ""
        return records

    first, second, _ = through_csv(*LETTERS, edit=edit)
    assert first["input"]["id"] == "70"
    assert first["input"]["prompt"] == "another prompt"
    assert first["input"]["tags"] == "[]"
    assert second["input"]["id"] is None


@pytest.mark.parametrize("text", ['"not JSON: {"', "[1]"])
def test_a_row_that_was_no_object_is_none_again(text):
    letter = failed(input=text)
    [batch] = through_parquet(letter).to_batches()
    [row] = row_texts(batch)
    assert orjson.loads(row.text)["input"] == orjson.loads(text)
    assert through_csv(letter)[0]["input"] == orjson.loads(text)


def test_a_table_with_some_of_our_columns_is_no_file_of_failed_rows():
    names = list(FAILED)
    assert failed_layout(["prompt", *names]).inputs == ["prompt"]
    assert failed_layout(["id", "ritellm_id", *names[1:]]).inputs == ["id"]
    assert failed_layout(names[1:]) is None
    assert failed_layout([*names, "mine"]) is None
    assert failed_layout(["error_type", "message", "input"]) is None
    assert failed_cells([]) is None
    assert failed_cells(["prompt", "other_input"]) is None
