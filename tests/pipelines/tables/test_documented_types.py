"""The tables of docs/batch.md: what a value of each type is in a row, and in each kind of output.

Each line of the tables is made here again, through the readers and writers that jobs use.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from outcomes import completion, written

from pipelines import bigquery
from pipelines.inputs.bigquery import to_line
from pipelines.inputs.file_rows import FileRows, lines_of
from pipelines.inputs.options import InputOptions
from pipelines.inputs.read_rows import _row
from pipelines.inputs.readers.base import DataFile
from pipelines.outputs.formats.csv import Csv
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.formats.parquet import Parquet
from pipelines.tables.inference import infer_schema
from pipelines.tables.rows import is_json
from transforms import exact_json
from transforms.elements import Completion

PAGE = (Path(__file__).parents[3] / "docs" / "batch.md").read_text().splitlines()
TABLE = bigquery.parse("bigquery:p:d.t")
NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)
LARGE = 2**127
MISSING, FAILED, NONE = "missing", "a failed row", ""


class Value(NamedTuple):
    """A value as each format writes it; None is a format that has no such value."""

    json: str
    csv: str
    typed: pa.Array | None
    table: Any = None


VALUES = {
    "null": Value('{"x":null}', "x,y\n,1\n", pa.array([None], pa.string()), {"x": None}),
    "a column that the row lacks": Value('{"y":1}', "x,y\n1\n", None),
    "an empty text": Value('{"x":""}', 'x,y\n"",1\n', pa.array([""]), {"x": ""}),
    "true": Value('{"x":true}', "x,y\ntrue,1\n", pa.array([True]), {"x": True}),
    "an integer beyond 2^53": Value(
        f'{{"x":{2**53 + 1}}}', f"x,y\n{2**53 + 1},1\n", pa.array([2**53 + 1]), {"x": 2**53 + 1}
    ),
    "an integer beyond 64 bits": Value(
        f'{{"x":{LARGE}}}',
        f"x,y\n{LARGE},1\n",
        pa.array([Decimal(LARGE)], pa.decimal256(39, 0)),
        {"x": Decimal(LARGE)},
    ),
    "a float": Value('{"x":0.1}', "x,y\n0.1,1\n", pa.array([0.1]), {"x": 0.1}),
    "NaN": Value('{"x":NaN}', "x,y\nNaN,1\n", pa.array([float("nan")]), {"x": float("nan")}),
    "a decimal, 12.50": Value(
        '{"x":12.50}',
        "x,y\n12.50,1\n",
        pa.array([Decimal("12.50")], pa.decimal128(9, 2)),
        {"x": Decimal("12.50")},
    ),
    "a date": Value(
        '{"x":"2024-02-29"}',
        "x,y\n2024-02-29,1\n",
        pa.array([dt.date(2024, 2, 29)]),
        {"x": dt.date(2024, 2, 29)},
    ),
    "a timestamp with a zone": Value(
        '{"x":"2024-02-29T13:00:00+01:00"}',
        "x,y\n2024-02-29T13:00:00+01:00,1\n",
        pa.array([NOON], pa.timestamp("us", "Europe/Berlin")),
        {"x": NOON},
    ),
    "bytes": Value('{"x":"AP8="}', "x,y\nAP8=,1\n", pa.array([b"\x00\xff"]), {"x": b"\x00\xff"}),
    "a list": Value('{"x":[1,null]}', 'x,y\n"[1,null]",1\n', pa.array([[1, None]]), {"x": [1]}),
    "a struct": Value(
        '{"x":{"a":1}}', 'x,y\n"{""a"":1}",1\n', pa.array([{"a": 1}]), {"x": {"a": 1}}
    ),
}


class Read(NamedTuple):
    """The JSON text of a row, and the columns of its input."""

    text: str
    schema: pa.Schema


def read(path):
    """Return the only row of a file, None for a failed row."""
    file = DataFile(str(path), path.name, path.name)
    [line] = lines_of(file, InputOptions())
    try:
        _row(line)
    except ValueError:
        return None
    schema = FileRows(InputOptions()).schema([str(path)])
    return Read(line.text, infer_schema([line.text]) if schema is None else schema)


def inputs(value, folder):
    """Return the row that each kind of input makes of a value; NONE for no such value."""
    (folder / "a.jsonl").write_text(value.json + "\n")
    (folder / "a.csv").write_text(value.csv)
    found = {"json": read(folder / "a.jsonl"), "csv": read(folder / "a.csv"), "typed": NONE}
    if value.typed is not None:
        table = pa.table({"x": value.typed})
        pq.write_table(table, folder / "a.parquet")
        with pa.ipc.new_file(str(folder / "a.arrow"), table.schema) as writer:
            writer.write_table(table)
        found["typed"] = read(folder / "a.parquet")
        assert read(folder / "a.arrow").text == found["typed"].text
    return found


def shown(text):
    """Return the value of `x` in the JSON of a row, as the table has it."""
    row = exact_json.loads(text)
    return f"`{exact_json.dumps(row['x'])}`" if "x" in row else MISSING


def in_cells(value, folder):
    found = inputs(value, folder)
    for row in found.values():
        yield FAILED if row is None else row and shown(row.text)
    yield shown(to_line(value.table, TABLE).text) if value.table is not None else NONE


def in_parquet(row, wanted):
    """Return the type of `x` in a Parquet file of completions; it must have the values `wanted`."""
    if row is None or row == NONE:
        return NONE
    if "x" not in row.schema.names:
        return "null"
    outcome = completion()._replace(input=row.text)
    table = pq.read_table(io.BytesIO(written(Parquet(Completion, row.schema), outcome)))
    assert wanted is None or f"{table['x'].to_pylist()}" == f"{wanted.to_pylist()}"
    field = table.schema.field("x")
    return f"{field.type}, JSON" if is_json(field) else f"{field.type}"


def out_cells(value, folder):
    found = inputs(value, folder)
    row = found["typed"] or found["json"]
    outcome = completion()._replace(input=row.text)
    [line] = written(JsonLines(), outcome).splitlines()
    yield shown(json.dumps(json.loads(line)["input"]))
    record = written(Csv(Completion, ["x"], False), outcome).decode().split("\r\n")[1]
    first = next(csv.reader([record]))[0]
    yield f"`{first}`" if first else "nothing" if record.startswith(",") else '`""`'
    yield in_parquet(found["json"], None)
    yield in_parquet(found["csv"], None)
    yield in_parquet(found["typed"], value.typed)


def line(cells):
    return "| " + " | ".join(cells) + " |"


@pytest.mark.parametrize("name", VALUES)
def test_the_page_tells_what_a_value_is_in_a_row(name, tmp_path):
    assert line([name, *in_cells(VALUES[name], tmp_path)]) in PAGE


@pytest.mark.parametrize("name", VALUES)
def test_the_page_tells_what_a_value_is_in_the_output(name, tmp_path):
    assert line([name, *out_cells(VALUES[name], tmp_path)]) in PAGE
