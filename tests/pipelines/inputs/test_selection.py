"""`--limit` and `--sample`: a part of the input, always the same one, for a trial."""

from __future__ import annotations

import gzip

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.batch_complete import parser
from pipelines.cli.flags.input import selection
from pipelines.errors import UsageError
from pipelines.inputs.bigquery import BigQueryRows
from pipelines.inputs.file_rows import FileRows
from pipelines.inputs.options import InputOptions
from pipelines.inputs.prompts import ReadPrompts
from pipelines.inputs.selection import Selection

NAMES = [f"{file}{n}" for file in "ab" for n in range(50)]


@pytest.fixture
def folder(tmp_path):
    """Two files of 50 rows, and what a job reads from them."""
    for file in "ab":
        rows = [{"id": f"{file}{n}", "prompt": "x"} for n in range(50)]
        text = b"".join(orjson.dumps(row) + b"\n\n" for row in rows)
        (tmp_path / f"{file}.jsonl").write_bytes(text)
    return tmp_path


def prompts(folder, chosen, spread=False, pattern="*.jsonl"):
    """Return the ids of the rows that a job reads, and the reasons of those that failed."""
    out = folder / "read"
    out.mkdir(exist_ok=True)

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        found = p | ReadPrompts([str(folder / pattern)], spread, None, selection=chosen)
        found.prompts | beam.Map(lambda x: x.id) | "P" >> beam.io.WriteToText(f"{out}/ids")
        found.dead_letters | beam.Map(lambda x: x.message) | beam.io.WriteToText(f"{out}/bad")
    read = {name: [] for name in ("ids", "bad")}
    for name, lines in read.items():
        for path in sorted(out.glob(f"{name}-*")):
            lines += path.read_text().splitlines()
            path.unlink()
    return read["ids"], read["bad"]


@pytest.mark.parametrize("spread", [False, True])
def test_a_limit_takes_the_first_rows_of_the_first_file(folder, spread):
    ids, bad = prompts(folder, Selection(limit=60), spread)
    assert (sorted(ids), bad) == (sorted(NAMES[:60]), [])


def test_a_limit_reads_no_file_that_it_does_not_need(folder):
    (folder / "c.jsonl.gz").write_bytes(b"not a gzip file")
    ids, bad = prompts(folder, Selection(limit=60), pattern="*.jsonl*")
    assert (len(ids), bad) == (60, [])


@pytest.mark.parametrize("spread", [False, True])
def test_a_sample_is_the_same_rows_each_time(folder, spread):
    ids, bad = prompts(folder, Selection(sample=10), spread)
    again, _ = prompts(folder, Selection(sample=10), not spread)
    assert sorted(ids) == sorted(again)
    assert (len(set(ids)), bad) == (10, [])
    assert {name[0] for name in ids} == {"a", "b"}


def test_a_larger_sample_contains_the_smaller_one(folder):
    few, _ = prompts(folder, Selection(sample=10))
    many, _ = prompts(folder, Selection(sample=30))
    assert set(few) < set(many)


def test_a_sample_tells_of_a_file_that_cannot_be_read(folder):
    (folder / "c.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 no deflate stream at all")
    ids, bad = prompts(folder, Selection(sample=10), pattern="*.jsonl*")
    assert (len(ids), len(bad)) == (9, 1)


@pytest.mark.parametrize(
    ("chosen", "lines", "table"),
    [
        (Selection(), 7, None),
        (Selection(limit=5), 5, 5),
        (Selection(limit=9), 7, 7),
        (Selection(sample=5), 5, 5),
        (Selection(sample=9), 7, 7),
        (Selection(limit=10**9), 7, None),
    ],
)
def test_progress_counts_the_rows_that_are_taken(tmp_path, chosen, lines, table):
    (tmp_path / "a.jsonl").write_text('{"prompt": "x"}\n' * 7)
    (tmp_path / "a.csv").write_text("prompt\n" + 'x,"two\nlines"\n' * 7)
    files = FileRows(InputOptions())
    assert chosen.count(files, [f"{tmp_path}/a.jsonl"]) == lines
    assert chosen.count(files, [f"{tmp_path}/a.csv"]) == table


def test_progress_does_not_count_the_rows_of_a_damaged_file_or_a_table(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 9)[:-9])
    assert Selection(limit=20).count(FileRows(InputOptions()), [f"{tmp_path}/a.jsonl.gz"]) is None
    assert Selection(sample=20).count(BigQueryRows(), ["bigquery:p:d.t"]) is None


def arguments(*flags):
    return parser().parse_args(["--input", "bigquery:p:d.t", "--output", "o", *flags])


def test_a_table_has_no_first_rows():
    with pytest.raises(UsageError, match="--limit needs files, because a table has no order"):
        selection(arguments("--limit", "3"))
    assert selection(arguments("--sample", "3")) == Selection(sample=3)


def test_the_two_exclude_each_other():
    with pytest.raises(UsageError, match="--sample: not allowed with argument --limit"):
        arguments("--limit", "3", "--sample", "3")
