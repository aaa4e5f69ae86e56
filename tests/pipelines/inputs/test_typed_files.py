"""Parquet and Arrow files, folders of them, stdin, and files that several workers share."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import os
from decimal import Decimal
from types import SimpleNamespace

import apache_beam as beam
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import assert_that, equal_to
from batch_job import Job

from pipelines import ReadRows
from pipelines.errors import UsageError
from pipelines.inputs import splitting
from pipelines.inputs.file_rows import FileRows, lines_of
from pipelines.inputs.files import check_patterns
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import parquet
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.choice import FORMATS

TABLE = pa.table(
    {
        "id": pa.array([1, 2**60, 3]),
        "prompt": ["a", "b", "c"],
        "price": [Decimal("1.10"), None, Decimal("-2.00")],
        "at": [datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)] * 3,
        "data": [b"\0\xff", b"", None],
        "list": [[1, None], [], None],
    }
)
ROWS = [
    {"id": 1, "prompt": "a", "price": "1.10", "data": "AP8=", "list": [1, None]},
    {"id": 2**60, "prompt": "b", "price": None, "data": "", "list": []},
    {"id": 3, "prompt": "c", "price": "-2.00", "data": None, "list": None},
]
ROWS = [{**row, "at": "2024-01-02T00:00:00.000000Z"} for row in ROWS]


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    return Job(fake_server, tmp_path, capsys)


def write(path, kind, table=TABLE, rows=2):
    """Write `table` with `rows` rows in a group or batch, and return the path."""
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=rows)
        return path
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def read(path, columns=None, **options):
    file = DataFile(str(path), path.name, path.name)
    return list(lines_of(file, InputOptions(**options), columns))


def good(lines):
    return [json.loads(line.text) for line in lines if not line.fault]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "no name"])
def test_typed_files_are_read_by_name_or_by_their_first_bytes(tmp_path, kind, name):
    if name != "no name" and (kind == "parquet") != name.endswith("parquet"):
        name = {"parquet": "a.pq", "file": "a.feather", "stream": "a.arrows"}[kind]
    path = write(tmp_path / name, kind)
    lines = read(path)
    assert good(lines) == ROWS
    assert [line.location for line in lines] == [f"{name}, row {n}" for n in (1, 2, 3)]
    assert good(read(path, ["prompt", "absent"])) == [{"prompt": p} for p in "abc"]


def test_a_compressed_stream_is_read(tmp_path):
    path = write(tmp_path / "a.arrow", "stream")
    packed = tmp_path / "a.arrow.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert good(read(packed)) == ROWS


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_a_typed_file_cut_anywhere_gives_its_first_rows_and_one_reason(tmp_path, kind):
    data = write(tmp_path / "whole", kind).read_bytes()
    format = "parquet" if kind == "parquet" else "arrow"
    path = tmp_path / "cut"
    most = 0
    for cut in [*range(0, len(data), 64), len(data) - 1]:
        path.write_bytes(data[:cut])
        *lines, last = read(path, format=format)
        assert good(lines) == ROWS[: len(lines)]
        assert last.location == f"cut, from row {len(lines) + 1} on"
        assert "the complete file" in last.fault or "ends too early" in last.fault
        most = max(most, len(lines))
    assert most == (0 if kind == "parquet" else 3)


def test_a_damaged_row_group_ends_the_file_there(tmp_path):
    table = pa.table({"prompt": [os.urandom(50).hex() for _ in range(40)]})
    path = write(tmp_path / "a.parquet", "parquet", table, rows=10)
    group = pq.read_metadata(path).row_group(2).column(0)
    data = bytearray(path.read_bytes())
    at = group.dictionary_page_offset or group.data_page_offset
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    *lines, last = read(path)
    assert good(lines) == table.slice(0, 20).to_pylist()
    assert last.location == "a.parquet, from row 21 on"


def test_a_damaged_part_names_the_rows_that_it_lacks(tmp_path, monkeypatch):
    table = pa.table({"prompt": [os.urandom(50).hex() for _ in range(40)]})
    path = write(tmp_path / "a.parquet", "parquet", table, rows=10)
    group = pq.read_metadata(path).row_group(2).column(0)
    data = bytearray(path.read_bytes())
    at = group.dictionary_page_offset or group.data_page_offset
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    monkeypatch.setattr(parquet, "_PART_BYTES", 1)
    parts = FORMATS["parquet"].parts(DataFile(str(path), "a.parquet", "a.parquet"))
    lines = [line for part in parts for line in lines_of(part, InputOptions())]
    assert len(good(lines)) == 30
    [reason] = [line for line in lines if line.fault]
    assert reason.location == "a.parquet, rows 21 to 30"
    assert reason.is_rest
    assert "is damaged" in reason.fault


def test_columns_of_one_name_are_a_reason(tmp_path):
    path = write(tmp_path / "a.parquet", "parquet", pa.table([[1], [2]], names=["a", "a"]))
    assert [line.fault for line in read(path)] == ["columns must have unique names, got 'a' twice"]


def test_the_schema_of_an_input_has_the_columns_of_all_files(tmp_path):
    files = FileRows(InputOptions())
    write(tmp_path / "a.parquet", "parquet", pa.table({"a": pa.array([1], pa.int32())}))
    write(tmp_path / "b.arrow", "file", pa.table({"a": [2], "b": ["x"]}))
    assert files.schema([f"{tmp_path}/*"]) == pa.schema([("a", pa.int64()), ("b", pa.string())])
    (tmp_path / "c.csv").write_text("b,c\n1,2\n")
    assert files.schema([f"{tmp_path}/c.csv"]) == pa.schema(
        [("b", pa.string()), ("c", pa.string())]
    )
    (tmp_path / "d.jsonl").write_text("{}\n")
    assert files.schema([f"{tmp_path}/*"]) is None
    assert files.count([f"{tmp_path}/a.parquet"]) == 1


def test_parts_of_a_parquet_file_have_all_rows_with_their_numbers(tmp_path, monkeypatch):
    table = pa.table({"n": range(1, 101)})
    path = write(tmp_path / "a.parquet", "parquet", table, rows=7)
    monkeypatch.setattr(parquet, "_PART_BYTES", 200)
    parts = FORMATS["parquet"].parts(DataFile(str(path), "a", "a"))
    assert len(parts) > 3
    lines = [line for part in parts for line in lines_of(part, InputOptions())]
    assert [(line.number, json.loads(line.text)["n"]) for line in lines] == [
        (n, n) for n in range(1, 101)
    ]


def test_ranges_of_json_lines_have_all_lines_with_their_numbers(tmp_path, monkeypatch):
    rows = [{"n": n, "x": "é" * (n % 13)} for n in range(1, 60)]
    texts = [orjson.dumps(row).decode() for row in rows]
    texts[7] = texts[20] = ""
    data = ("\ufeff" + "\r\n".join(texts)).encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    file = DataFile(str(path), "a", "a", size=len(data))
    whole = [(line.number, line.text) for line in lines_of(file, InputOptions())]
    assert len(whole) == 57
    for size in range(1, 90, 4):
        monkeypatch.setattr(splitting, "RANGE_BYTES", size)
        counted = [splitting._counted(each)[1] for each in splitting._ranges(file)]
        parts = [*splitting._numbered("a", counted)]
        found = [line for part in parts for line in lines_of(part, InputOptions())]
        assert [(line.number, line.text) for line in found] == whole


def test_a_large_file_of_another_format_is_one_failed_row_and_not_one_for_each_line(
    tmp_path, monkeypatch
):
    """A job looks only at the first file of a bucket before it starts."""
    monkeypatch.setattr(splitting, "RANGE_BYTES", 100)
    text = "prompt,n\n" + "".join(f"what is {n}?,{n}\n" for n in range(100))
    (tmp_path / "a.jsonl").write_text(text)
    file = DataFile(str(tmp_path / "a.jsonl"), "a", "a", size=len(text))
    ranges, parts = splitting._cut(file, InputOptions())
    [line] = [line for part in [*ranges, *parts] for line in lines_of(part, InputOptions())]
    assert line.fault.endswith("for a table add --input_format csv")
    assert line.is_rest


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_reads_parts_of_files_with_the_same_ids(job, monkeypatch, workers):
    monkeypatch.setattr(splitting, "RANGE_BYTES", 100)
    monkeypatch.setattr(parquet, "_PART_BYTES", 100)
    job.write(*({"prompt": f"j{n}"} for n in range(1, 31)), name="a.jsonl")
    table = pa.table({"prompt": [f"p{n}" for n in range(1, 31)]})
    write(job.folder / "b.parquet", "parquet", table, rows=4)
    (job.folder / "c.csv").write_text("prompt\n" + "".join(f"c{n}\n" for n in range(1, 31)))
    argv = job.argv("a.jsonl")
    argv[1:2] = [str(job.folder / name) for name in ("a.jsonl", "b.parquet", "c.csv")]
    assert job.call([*argv, f"--direct_num_workers={workers}"]) == 0
    asked = {id: row["input"]["prompt"] for id, row in job.rows("completions").items()}
    names = {"j": "a.jsonl", "p": "b.parquet", "c": "c.csv"}
    assert asked == {f"{names[k]}:{n}": f"{k}{n}" for k in "jpc" for n in range(1, 31)}


def partitioned(folder):
    """Write a table as pandas, Spark or DuckDB do by columns: they are in the names of folders."""
    places = [
        "year=2023/lang=de",
        "year=2024/lang=__HIVE_DEFAULT_PARTITION__",
        "year=2024/lang=a%2Fb",
    ]
    for n, place in enumerate(places):
        (folder / place).mkdir(parents=True)
        write(folder / place / "part-0.parquet", "parquet", pa.table({"prompt": [f"p{n}"]}))


def test_the_names_of_folders_are_columns(tmp_path):
    partitioned(tmp_path / "table")
    files = FileRows(InputOptions())
    found = [
        json.loads(line.text)
        for path in files.files([f"{tmp_path}/table"])
        for line in lines_of(DataFile(path, path, path), InputOptions())
    ]
    assert found == [
        {"year": "2023", "lang": "de", "prompt": "p0"},
        {"year": "2024", "lang": None, "prompt": "p1"},
        {"year": "2024", "lang": "a/b", "prompt": "p2"},
    ]
    names = ("prompt", "year", "lang")
    assert files.schema([f"{tmp_path}/table"]) == pa.schema([(n, pa.string()) for n in names])


def test_a_column_of_the_file_precedes_the_name_of_a_folder(tmp_path):
    (tmp_path / "id=7").mkdir()
    path = write(tmp_path / "id=7" / "a.parquet", "parquet")
    assert good(lines_of(DataFile(str(path), str(path), "a"), InputOptions())) == ROWS
    csv = tmp_path / "id=7" / "a.csv"
    csv.write_text("prompt\nx\ny,z\n")
    first, second = lines_of(DataFile(str(csv), str(csv), "a"), InputOptions())
    assert json.loads(first.text) == {"id": "7", "prompt": "x"}
    assert second.text == "y,z"
    lines = tmp_path / "id=7" / "a.jsonl"
    lines.write_text('{"prompt":"x"}\n')
    assert good(lines_of(DataFile(str(lines), str(lines), "a"), InputOptions())) == [
        {"prompt": "x"}
    ]


def test_a_job_reads_a_partitioned_folder_with_a_template(job):
    partitioned(job.folder / "table")
    flags = ["--prompt_template={{ prompt }} of {{ year }}", "--columns=year"]
    assert job.run(*flags, input="table") == 0
    inputs = {id: row["input"] for id, row in job.rows("completions").items()}
    assert inputs["table/year=2023/lang=de/part-0.parquet:1"] == {"year": "2023"}
    asked = [request.json["messages"][0]["content"] for request in job.server.requests]
    assert sorted(asked) == ["p0 of 2023", "p1 of 2024", "p2 of 2024"]


def test_columns_are_those_of_some_of_very_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.inputs.file_rows._MOST_SCHEMAS", 3)
    for n in range(7):
        write(tmp_path / f"{n}.parquet", "parquet", pa.table({f"c{n}": [1]}))
    assert FileRows(InputOptions()).schema([f"{tmp_path}/*"]).names == ["c0", "c3", "c6"]


def saved(folder, table, *names):
    """Write a data set as `datasets` saves it: streams, their list, and a cache beside them."""
    folder.mkdir(parents=True)
    for name in names:
        write(folder / name, "stream", table)
    write(folder / "cache-1.arrow", "stream", table)
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": "train"}))
    (folder / "dataset_info.json").write_text("{}")


def test_a_folder_of_a_data_set_is_read_by_its_own_list(tmp_path):
    saved(tmp_path / "ds", TABLE, "data-00000-of-00002.arrow", "data-00001-of-00002.arrow")
    saved(tmp_path / "two" / "train", TABLE, "data-00000-of-00001.arrow")
    saved(tmp_path / "two" / "test", TABLE, "data-00000-of-00001.arrow")
    (tmp_path / "two" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (tmp_path / "hub" / "data").mkdir(parents=True)
    write(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", "parquet")
    (tmp_path / "hub" / "README.md").write_text("# A data set\n")
    files = FileRows(InputOptions())
    found = {
        f: [p.removeprefix(f"{tmp_path}/") for p in files.files([f"{tmp_path}/{f}"])]
        for f in ("ds", "two", "hub")
    }
    assert found == {
        "ds": ["ds/data-00000-of-00002.arrow", "ds/data-00001-of-00002.arrow"],
        "two": ["two/test/data-00000-of-00001.arrow", "two/train/data-00000-of-00001.arrow"],
        "hub": ["hub/data/train-00000-of-00001.parquet"],
    }
    files.check([f"{tmp_path}/{f}" for f in found])
    os.remove(tmp_path / "ds" / "data-00001-of-00002.arrow")
    with pytest.raises(UsageError, match="No such file"):
        files.check([f"{tmp_path}/ds"])
    (tmp_path / "ds" / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    with pytest.raises(UsageError, match="must be the name of a file in"):
        files.check([f"{tmp_path}/ds"])


def test_what_a_pattern_leaves_out_is_reported(tmp_path, caplog):
    for name in ("a.jsonl", "._a.jsonl", ".b.jsonl"):
        (tmp_path / name).write_text('{"prompt":"x"}\n')
    (tmp_path / "c.jsonl").mkdir()
    check_patterns([f"{tmp_path}/*.jsonl"])
    assert f"--input {tmp_path}/*.jsonl does not read 2 hidden files: " in caplog.text
    assert f"does not read 1 folder: {tmp_path}/c.jsonl" in caplog.text


def stdin_of(data):
    return SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)


@pytest.mark.parametrize("flags", [[], ["--keep_order"], ["--direct_num_workers=2"]])
def test_stdin_is_read_once_and_its_rows_have_ids_that_stay(job, monkeypatch, flags):
    lines = b"".join(orjson.dumps({"prompt": f"p{n}"}) + b"\n" for n in range(3)) + b"no\n"
    for _ in range(2):
        monkeypatch.setattr("sys.stdin", stdin_of(lines))
        argv = job.argv("a", *flags)
        argv[1] = "-"
        assert job.call(argv) == 0
        assert job.rows("completions").keys() == {"stdin:1", "stdin:2", "stdin:3"}
    assert job.rows("failed")["stdin:4"]["message"].startswith("stdin, line 4: not JSON")
    assert job.report["input"] == ["stdin"]
    assert len(job.server.requests) == 3


def test_stdin_may_be_compressed_and_of_any_format(job, monkeypatch):
    data = write(job.folder / "a.parquet", "parquet", pa.table({"prompt": ["x"]})).read_bytes()
    for each in (data, gzip.compress(b'[{"prompt":"x"}]')):
        monkeypatch.setattr("sys.stdin", stdin_of(each))
        argv = job.argv("a")
        argv[1] = "-"
        assert job.call(argv) == 0
        assert job.rows("completions").keys() == {"stdin:1"}


def test_stdin_of_another_format_is_called_as_the_user_called_it(job, monkeypatch):
    monkeypatch.setattr("sys.stdin", stdin_of(b"id,prompt\n1,x\n2,y\n"))
    argv = job.argv("a")
    argv[1] = "-"
    assert job.call(argv) == 2
    assert job.printed.err.startswith("batch_complete: --input -: the file must have one JSON")
    assert "for a table add --input_format csv" in job.printed.err


def test_a_terminal_as_stdin_and_stdin_for_other_machines_are_refused(job, monkeypatch):
    argv = job.argv("a")
    argv[1] = "-"
    terminal = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert job.call(argv) == 2
    assert "stdin, which is a terminal" in job.printed.err


def test_rows_are_read_in_a_pipeline_with_what_cannot_be_read_beside_them(tmp_path):
    write(tmp_path / "a.parquet", "parquet")
    (tmp_path / "b.csv").write_text('prompt\nx\n"y\n')
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadRows(f"{tmp_path}/*", columns=["prompt"])
        assert_that(read.rows, equal_to([{"prompt": p} for p in "abcx"]), label="Rows")
        reasons = read.dead_letters | beam.Map(lambda d: (d.id, d.error_type))
        assert_that(reasons, equal_to([("b.csv:2", "UnreadableFile")]), label="DeadLetters")


def test_read_rows_refuses_what_it_cannot_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv matches no file"):
        FileRows(InputOptions()).files([f"{tmp_path}/none.csv"])
    with pytest.raises(ValueError, match="ReadRows needs the patterns of files"):
        ReadRows()
    with pytest.raises(ValueError, match="format must be one of jsonl, json, csv"):
        ReadRows("a", format="xml")
