"""Each location belongs to one format of input, and each format offers the same members."""

from __future__ import annotations

import gzip

import pytest

from pipelines.errors import UsageError
from pipelines.inputs.bigquery import BigQueryRows
from pipelines.inputs.file_rows import FileRows
from pipelines.inputs.formats import format_of
from pipelines.inputs.options import InputOptions

FILES = FileRows(InputOptions())


@pytest.mark.parametrize(
    ("location", "format"),
    [
        ("bigquery:p:d.t", BigQueryRows),
        ("prompts/*.jsonl", FileRows),
        ("gs://bucket/prompts.json.gz", FileRows),
        ("bigquery.jsonl", FileRows),
        ("anything", FileRows),
    ],
)
def test_the_scheme_of_a_location_chooses_the_format(location, format):
    assert type(format_of([location])) is format


@pytest.mark.parametrize(
    ("text", "rows"), [(b"", 0), (b"1\n", 1), (b"1\n2", 2), (b"1\n2\n", 2), (b"\n", 0)]
)
def test_lines_are_counted_with_or_without_a_last_newline(tmp_path, text, rows):
    (tmp_path / "a.jsonl").write_bytes(text)
    (tmp_path / "b.jsonl").write_bytes(b"x\n")
    assert FILES.count([f"{tmp_path}/*.jsonl"]) == rows + 1


def test_compressed_and_large_files_are_not_counted(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"1\n" * 100)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"1\n"))
    assert FILES.count([f"{tmp_path}/*.jsonl"], most_bytes=199) is None
    assert FILES.count([f"{tmp_path}/*.jsonl"], most_bytes=200) == 100
    assert FILES.count([f"{tmp_path}/*"]) is None


def test_a_compressed_file_is_not_counted_whatever_its_name(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(b"1\n"))
    assert FILES.count([f"{tmp_path}/a.jsonl"]) is None
    (tmp_path / "b.jsonl.gz").write_bytes(b"1\n2\n")
    assert FILES.count([f"{tmp_path}/b.jsonl.gz"]) == 2


def test_a_table_beside_files_or_another_table_is_refused():
    with pytest.raises(UsageError, match="--input must be files or one table, got a"):
        format_of(["a.jsonl", "bigquery:p:d.t"])
    with pytest.raises(UsageError, match="--input must be one table, got bigquery:p:d"):
        BigQueryRows().check(["bigquery:p:d.t", "bigquery:p:d.u"])


def test_a_table_is_not_a_file_and_is_not_counted():
    assert BigQueryRows().files(["bigquery:p:d.t"]) == ()
    assert BigQueryRows().count(["bigquery:p:d.t"]) is None


@pytest.mark.parametrize("location", ["bigquery:p.t", "nowhere/*.jsonl"])
def test_a_location_that_cannot_be_read_is_a_usage_error_that_names_the_flag(location):
    with pytest.raises(UsageError, match="--input"):
        format_of([location]).check([location])
