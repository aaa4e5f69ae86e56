"""Files that other programs wrote: pandas, polars, DuckDB and `datasets`.

`make test-formats` installs them. Each file is read with the values that the program wrote.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from examples.runners import tools
from pipelines.inputs.file_rows import FileRows, lines_of
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.base import DataFile

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
duckdb = pytest.importorskip("duckdb")
datasets = pytest.importorskip("datasets")

ROOT = Path(__file__).parents[2]
TEXTS = ["plain", 'a "quote", and\na line', "", "café \U0001f600", " spaced ", "'=1+1"]
ROWS = [{"id": n, "prompt": text, "note": None if n % 2 else "x"} for n, text in enumerate(TEXTS)]
AS_TEXT = [{**row, "id": str(row["id"])} for row in ROWS]


def read(*locations, **options):
    """Return the rows of files or folders, which must have no faults."""
    files = FileRows(InputOptions(**options))
    files.check([*map(str, locations)])
    paths = files.files([*map(str, locations)])
    made = InputOptions(**options)
    lines = [line for path in paths for line in lines_of(DataFile(path, path, path), made)]
    assert not [line for line in lines if line.fault]
    return [json.loads(line.text) for line in lines]


def test_pandas(tmp_path):
    frame = pandas.DataFrame(ROWS)
    frame.to_csv(tmp_path / "a.csv", index=False)
    # pandas writes an empty text and null alike.
    assert read(tmp_path / "a.csv") == [{**row, "prompt": row["prompt"] or None} for row in AS_TEXT]
    frame.to_csv(tmp_path / "index.csv")
    assert [row["column_1"] for row in read(tmp_path / "index.csv")] == list("012345")
    frame.to_csv(tmp_path / "b.csv.zst", index=False, sep=";", quoting=1, encoding="utf-8-sig")
    assert read(tmp_path / "b.csv.zst", csv_delimiter=";")[1] == {**AS_TEXT[1], "note": ""}
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_feather(tmp_path / "a.feather")
    frame.to_json(tmp_path / "a.jsonl.gz", orient="records", lines=True)
    frame.to_json(tmp_path / "a.json", orient="records", indent=2)
    for name in ("a.parquet", "a.feather", "a.jsonl.gz", "a.json"):
        assert read(tmp_path / name) == ROWS, name


def test_polars(tmp_path):
    frame = polars.DataFrame(ROWS)
    frame.write_csv(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv") == AS_TEXT
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    assert read(tmp_path / "a.tsv") == AS_TEXT
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=2)
    frame.write_ipc(tmp_path / "a.arrow")
    frame.write_ipc(tmp_path / "packed.arrow", compression="zstd")
    frame.write_ipc_stream(tmp_path / "stream.arrow")
    frame.write_ndjson(tmp_path / "a.ndjson")
    for name in ("a.parquet", "a.arrow", "packed.arrow", "stream.arrow", "a.ndjson"):
        assert read(tmp_path / name) == ROWS, name


def test_duckdb(tmp_path):
    frame = pandas.DataFrame(ROWS)
    connection = duckdb.connect()
    connection.register("rows", frame)
    for name, how in {
        "a.csv": "HEADER",
        "a.csv.gz": "HEADER, COMPRESSION gzip",
        "a.parquet": "FORMAT parquet, ROW_GROUP_SIZE 2048",
        "a.jsonl": "FORMAT json",
        "a.json": "FORMAT json, ARRAY true",
    }.items():
        connection.execute(f"COPY (SELECT * FROM rows ORDER BY id) TO '{tmp_path / name}' ({how})")
        expected = AS_TEXT if "csv" in name else ROWS
        assert read(tmp_path / name) == expected, name


def test_types_of_duckdb(tmp_path):
    query = f"""SELECT {"9" * 38}::DECIMAL(38,0) AS large, 1.10::DECIMAL(9,2) AS price,
        DATE '2024-02-29' AS day, TIMESTAMPTZ '2024-02-29 12:00:00+00' AS at,
        '\\x00\\xFF'::BLOB AS data, [1, NULL] AS list, {{'a': 'x'}} AS struct,
        'NaN'::DOUBLE AS nan, 9007199254740993 AS exact, MAP {{'k': 1}} AS map"""
    duckdb.connect().execute(f"COPY ({query}) TO '{tmp_path / 'a.parquet'}' (FORMAT parquet)")
    (row,) = read(tmp_path / "a.parquet")
    assert Decimal(row["large"]) == Decimal("9" * 38)
    assert row["price"] == "1.10"
    assert date.fromisoformat(row["day"]) == date(2024, 2, 29)
    at = datetime.fromisoformat(row["at"].replace("Z", "+00:00"))
    assert at == datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
    assert row["data"] == "AP8="
    assert row["list"] == [1, None]
    assert row["struct"] == {"a": "x"}
    assert row["nan"] == "NaN"
    assert row["exact"] == 9007199254740993
    assert row["map"] == {"k": 1}


def test_datasets(tmp_path):
    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    made.map(lambda row: {"prompt": row["prompt"]})  # writes a cache
    made.select([5, 1]).save_to_disk(tmp_path / "selected")
    parts = datasets.DatasetDict({"train": made, "test": made.select([0])})
    parts.save_to_disk(tmp_path / "parts")
    assert read(tmp_path / "saved") == ROWS
    assert read(tmp_path / "selected") == [ROWS[5], ROWS[1]]
    assert read(tmp_path / "parts") == [ROWS[0], *ROWS]
    hub = tmp_path / "hub" / "data"
    hub.mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("---\nlicense: mit\n---\n")
    for at in range(2):
        made.shard(2, at, contiguous=True).to_parquet(hub / f"train-0000{at}-of-00002.parquet")
    assert read(tmp_path / "hub") == ROWS
    made.to_json(tmp_path / "a.jsonl")
    made.to_csv(tmp_path / "a.csv")
    assert read(tmp_path / "a.jsonl") == ROWS
    assert [row["id"] for row in read(tmp_path / "a.csv")] == [row["id"] for row in AS_TEXT]


@pytest.mark.parametrize("runner", ["FnApiRunner", "workers", "PrismRunner"])
def test_a_job_on_each_runner_reads_fills_a_template_and_writes(tmp_path, fake_server, runner):
    frame = polars.DataFrame([{"prompt": f"p{n}"} for n in range(60)])
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=7)
    frame.write_csv(tmp_path / "b.csv")
    frame.write_ndjson(tmp_path / "c.jsonl")
    flags = {
        "FnApiRunner": [],
        "workers": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
        "PrismRunner": ["--runner=PrismRunner", *prism()],
    }[runner]
    names = ("a.parquet", "b.csv", "c.jsonl")
    command = [
        *(sys.executable, "-m", "pipelines.batch_complete", "--output", str(tmp_path / "out")),
        *("--input", *(str(tmp_path / name) for name in names)),
        *("--prompt_template", "Say {{ prompt | upper }}", "--output_format", "parquet"),
        *("--model", "openai/m", "--base_url", fake_server.base_url, *flags),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    written = polars.read_parquet(tmp_path / "out" / "completions-*.parquet")
    found = dict(written.select("id", "prompt").iter_rows())
    assert found == {f"{name}:{n + 1}": f"p{n}" for name in names for n in range(60)}
    asked = {request.json["messages"][0]["content"] for request in fake_server.requests}
    assert asked == {f"Say P{n}" for n in range(60)}


def prism():
    """Return the flag that names Prism, which is built once; skip where that is not possible."""
    try:
        return [f"--prism_location={tools.prism()}"]
    except tools.Missing as error:
        pytest.skip(str(error))
