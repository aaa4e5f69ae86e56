"""Files of each format in a bucket, read through the emulator of Google Cloud Storage."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UsageError
from pipelines.inputs.file_rows import FileRows, lines_of
from pipelines.inputs.options import InputOptions

OPTIONS = InputOptions()


@pytest.fixture
def folder(google, monkeypatch):
    """Files of several formats below one folder of the bucket, and its address."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.host)
    table = pa.table({"prompt": [f"p{n}" for n in range(50)]})
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet, row_group_size=10)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table.slice(0, 1))
    for name, data in {
        "a.arrow": arrow.getvalue(),
        "b.csv": b"prompt\nx\n",
        "c.jsonl.gz": gzip.compress(b'{"prompt":"y"}\n'),
        "cut.csv": b'prompt\nx\n"y',
        ".hidden.csv": b"prompt\nno\n",
        "table/year=2024/a.parquet": parquet.getvalue(),
    }.items():
        google.bucket.put(f"formats/{name}", data)
    return "gs://bucket/formats"


def rows(*locations):
    """Return the number of rows of each file, and the first one."""
    found = {}
    for file in FileRows(OPTIONS)._data_files(locations):
        lines = [line for line in lines_of(file, OPTIONS) if not line.fault]
        found[file.name] = (len(lines), json.loads(lines[0].text))
    return found


def test_files_in_a_bucket_are_read_without_the_hidden_ones(folder):
    assert rows(f"{folder}/*") == {
        "a.arrow": (1, {"prompt": "p0"}),
        "b.csv": (1, {"prompt": "x"}),
        "c.jsonl.gz": (1, {"prompt": "y"}),
        "cut.csv": (1, {"prompt": "x"}),
    }


def test_a_folder_in_a_bucket_has_its_parquet_files_and_the_columns_of_their_folders(folder):
    found = rows(f"{folder}/table")
    assert found == {"table/year=2024/a.parquet": (50, {"year": "2024", "prompt": "p0"})}
    schema = FileRows(OPTIONS).schema([f"{folder}/table"])
    assert schema == pa.schema([("prompt", pa.string()), ("year", pa.string())])


def test_a_damaged_file_in_a_bucket_has_a_reason(folder):
    *_, last = lines_of(FileRows(OPTIONS)._data_files([f"{folder}/cut.csv"])[0], OPTIONS)
    assert last.location == f"{folder}/cut.csv, from row 2 on"
    with pytest.raises(UsageError, match=r"none\*\.csv matches no file"):
        FileRows(OPTIONS).check([f"{folder}/none*.csv"])
