"""Complete jobs with each format of output."""

from __future__ import annotations

import csv

import orjson
import pyarrow.parquet as pq
import pytest
from batch_job import Job
from fake_server import api_error, chat_stream

ROWS = [{"id": "a", "prompt": "one", "n_words": 1}, {"prompt": "bad", "n_words": None}]


@pytest.fixture
def job(fake_server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    fake_server.script = lambda r: (
        api_error(400) if b"bad" in r.body else chat_stream("=an answer", finish_reason="stop")
    )
    return Job(fake_server, tmp_path, capsys).write(*ROWS, "nonsense")


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def files(job, name):
    return sorted(path for path in job.out.iterdir() if path.name.startswith(f"{name}-"))


def rows(job, name):
    return [row for path in files(job, name) for row in read(path)]


SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "batch": ".jsonl", "jsonl": ".jsonl"}


@pytest.mark.parametrize("order", [[], ["--keep_order"]], ids=["any-order", "keep-order"])
@pytest.mark.parametrize("format", SUFFIXES)
def test_a_job_writes_completions_and_failed_rows_in_the_format(job, format, order):
    assert job.run("--output_format", format, *order) == 0
    names = job.report["files"]
    kinds = [name.rpartition(f"-{job.report['run']}")[0] for name in names]
    assert kinds == ["completions", "failed-calls", "failed-rows"]
    assert {name[name.index(".") :] for name in names} == {SUFFIXES[format]}
    assert job.report["output_format"] == format
    assert f"completions: {job.out / names[0]}" in job.printed.out
    assert "=an answer" in job.printed.out
    assert len(rows(job, "completions")) == 1
    assert len(rows(job, "failed-calls")) == 1
    assert len(rows(job, "failed-rows")) == 1


def test_a_parquet_file_has_the_input_and_the_answer(job):
    assert job.run("--output_format=parquet") == 0
    [row] = rows(job, "completions")
    assert (row["id"], row["prompt"], row["n_words"]) == ("a", "one", 1)
    assert (row["ritellm_id"], row["text"], row["finish_reason"]) == ("a", "=an answer", "stop")
    [row] = rows(job, "failed-calls")
    assert (row["id"], row["ritellm_id"], row["prompt"]) == (None, "in.jsonl:2", "bad")
    assert row["error_type"] == "BadRequestError"
    [row] = rows(job, "failed-rows")
    assert (row["prompt"], row["other_input"]) == (None, '"nonsense"')


@pytest.mark.parametrize(("flags", "text"), [([], "'=an answer"), (["--csv_raw"], "=an answer")])
def test_a_csv_file_has_no_formula_unless_it_is_raw(job, flags, text):
    assert job.run("--output_format=csv", *flags) == 0
    [row] = rows(job, "completions")
    assert (row["id"], row["prompt"], row["n_words"], row["text"]) == ("a", "one", "1", text)


def test_the_outputs_of_another_format_are_removed(job):
    for format in SUFFIXES:
        assert job.run("--output_format", format) == 0
    assert {path.suffix for path in files(job, "completions")} == {".jsonl"}
    assert len(files(job, "completions")) == 1


def test_a_later_row_with_other_columns_and_types_is_kept_whole(job, monkeypatch):
    monkeypatch.setattr("pipelines.inputs.base.SAMPLE_ROWS", 1)
    job.write({"id": 1, "prompt": "x"}, f'{{"id":"two","prompt":"y","new":[{2**70}]}}')
    assert job.run("--output_format=parquet", "--keep_order") == 0
    first, second = rows(job, "completions")
    assert (first["id"], first["other_input"]) == (1, None)
    assert (second["id"], second["ritellm_id"]) == (None, "two")
    assert second["other_input"] == '{"new":[1180591620717411303424],"id":"two"}'


def test_deltas_stay_json_lines(job):
    assert job.run("--output_format=parquet", "--emit_deltas") == 0
    [path] = files(job, "deltas")
    assert path.suffix == ".jsonl"


def test_an_unknown_format_is_one_sentence(job):
    assert job.run("--output_format=xml") == 2
    [line] = job.printed.err.strip().splitlines()
    assert "--output_format" in line
    assert "parquet" in line


def test_csv_raw_needs_csv(job):
    assert job.run("--csv_raw") == 2
    [line] = job.printed.err.strip().splitlines()
    assert line == (
        "batch_complete: --csv_raw needs --output_format csv; leave it out, or write CSV"
    )
    assert not job.server.requests


# --- Failed rows as input ------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [None, ["tags"]], ids=["all-columns", "some-columns"])
@pytest.mark.parametrize("format", SUFFIXES)
def test_failed_rows_are_input_again_with_their_ids(job, format, columns):
    job.write({"id": "a", "prompt": "fine"}, {"prompt": "=bad", "tags": ["x"], "n_words": 2})
    assert job.run("--output_format", format) == 0
    [path] = files(job, "failed-calls")
    job.server.script = lambda r: chat_stream("repaired")
    again = Job(job.server, job.folder, job.capsys)
    again.out = job.folder / "again"
    flags = [] if columns is None else [f"--columns={','.join(columns)}"]
    assert again.run(*flags, input=f"out/{path.name}") == 0
    [row] = again.rows("completions").values()
    assert (row["id"], row["text"]) == ("in.jsonl:2", "repaired")
    given = {name: value for name, value in row["input"].items() if value is not None}
    whole = {"prompt": "=bad", "tags": ["x"], "n_words": 2}
    assert given == {name: whole[name] for name in columns or whole}
    assert job.server.requests[-1].json["messages"][0]["content"] == "=bad"
