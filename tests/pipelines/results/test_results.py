"""`python -m pipelines.results`: what a person sees of a job that runs, was stopped, or is done."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_folder import FACTS, JobRun
from outcomes import completion, failed

from pipelines.inputs.rows import parse
from pipelines.outputs.claims import claimed
from pipelines.outputs.formats.batch import BatchLines
from pipelines.outputs.formats.csv import Csv
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.formats.parquet import Parquet
from pipelines.results import columns, journal_rows
from pipelines.results.__main__ import main
from pipelines.results.job_flags import JobFlags
from pipelines.results.writers.terminal import cells_in, fit, widths
from pipelines.tables import outcomes
from transforms import CompletePrompts
from transforms.elements import Completion
from transforms.journal.key import JournalKey
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.serialization import to_bytes
from transforms.worker.recorded.entries import to_value


@pytest.fixture
def results(tmp_path, capfdbinary):
    """Run the program; return its status, its rows by JSON line, and its notes."""

    def run(*flags, folder=tmp_path / "out"):
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(folder), *flags])
        said = capfdbinary.readouterr()
        return exited.value.code, said.out, said.err.decode()

    return run


def ids(out):
    return [orjson.loads(line)["id"] for line in out.splitlines()]


def test_the_rows_of_a_finished_job_pass_through_unchanged(tmp_path, results):
    run = JobRun(tmp_path / "out")
    large = completion("a")._replace(input='{"n":12345678901234567890123}')
    first = run.shard(large, completion("b"))
    second = run.shard(completion("c", text="ümläut \u2028"))
    run.shard(failed("d"))
    run.end()
    status, out, notes = results()
    assert (status, notes) == (0, "")
    assert out == first.read_bytes() + second.read_bytes()


def test_a_row_of_a_killed_run_and_of_its_repetition_comes_once_and_the_newest_wins(
    tmp_path, results
):
    killed = JobRun(tmp_path / "out")
    killed.shard(completion("a", text="old"), completion("b", text="old"))
    running = JobRun(tmp_path / "out", after=killed.id)
    running.shard(completion("a", text="new"), completion("c", text="new"))
    status, out, notes = results()
    rows = {row["id"]: row["text"] for row in map(orjson.loads, out.splitlines())}
    assert rows == {"a": "new", "b": "old", "c": "new"}
    assert len(out.splitlines()) == 3
    assert status == 0
    assert notes == (
        "results: 3 completions; the job stopped before its end; the same command continues it\n"
    )


def test_a_failed_row_that_a_later_run_completed_is_not_failed(tmp_path, results):
    killed = JobRun(tmp_path / "out")
    killed.shard(failed("a"), failed("b"))
    killed.shard(completion("c"))
    later = JobRun(tmp_path / "out", after=killed.id)
    later.shard(completion("a"))
    later.shard(failed("d"), failed("c"))
    assert sorted(ids(results("--failed")[1])) == ["b", "c", "d"]
    assert ids(results()[1]) == ["a"]  # the newest outcome of c is its failure


def test_failed_rows_are_input_again(tmp_path, results):
    run = JobRun(tmp_path / "out")
    path = run.shard(failed("a", input={"prompt": "hi", "n": 1}))
    run.end()
    status, out, _ = results("--failed")
    assert (status, out) == (0, path.read_bytes())
    assert orjson.loads(out)["input"] == {"prompt": "hi", "n": 1}


def test_runs_of_another_model_are_left_out_and_mentioned(tmp_path, results):
    other = JobRun(tmp_path / "out", {**FACTS, "model": "openai/other"})
    other.shard(completion("a"))
    other.end()
    JobRun(tmp_path / "out", after=other.id).shard(completion("b"))
    _, out, notes = results()
    assert ids(out) == ["b"]
    assert "rows of 1 run of another job are left out" in notes


def test_a_job_that_runs_is_said_to_run_and_is_not_disturbed(tmp_path, results):
    JobRun(tmp_path / "out").shard(completion("a"))
    with claimed(str(tmp_path / "out")):
        status, out, notes = results()
    assert (status, ids(out)) == (0, ["a"])
    assert notes == "results: 1 completion; the job is running\n"


def test_a_folder_of_an_earlier_version_is_read_by_its_report(tmp_path, results):
    out = tmp_path / "out"
    out.mkdir()
    line = to_bytes(completion("a")) + b"\n"
    (out / "completions-00000-of-00001.jsonl").write_bytes(line)
    (out / "completions-mine.jsonl").write_text("not a row")
    report = {"model": "m", "rows": 1, "files": ["completions-00000-of-00001.jsonl", "../x"]}
    (out / "report.json").write_bytes(orjson.dumps(report))
    assert results() == (0, line, "")


@pytest.mark.parametrize("make", [None, "folder", "file", "other report"])
def test_a_folder_without_a_job_is_one_sentence(tmp_path, results, make):
    out = tmp_path / "out"
    if make == "file":
        out.write_text("x")
    elif make:
        out.mkdir()
        if make == "other report":
            (out / "report.json").write_text("[1]")
    status, printed, notes = results()
    assert (status, printed) == (2, b"")
    assert notes.count("\n") == 1
    assert notes.startswith("results: ")
    assert "Traceback" not in notes
    if make == "file":
        assert f"{out} is a file; name the folder" in notes


def finished(tmp_path):
    run = JobRun(tmp_path / "out")
    path = run.shard(completion("a"), completion("b"))
    run.end()
    return path, tmp_path / "out" / "_manifest" / f"{run.id}.jsonl"


def spoil(what, path, manifest):
    data = path.read_bytes()
    if what == "removed":
        path.unlink()
    elif what == "a link":
        moved = path.rename(path.parent.parent / "elsewhere")
        path.symlink_to(moved)
    elif what == "a folder":
        path.unlink()
        path.mkdir()
    elif what == "a pipe":
        path.unlink()
        os.mkfifo(path)
    elif what == "torn":
        path.write_bytes(data[:-20])
    elif what == "longer":
        path.write_bytes(data + data)
    elif what == "another text":
        path.write_bytes(data.replace(b"an answer", b"my answer", 1))
    elif what == "not JSON":
        path.write_bytes(data[:-3] + b"xx\n")
    elif what == "edited manifest":
        manifest.write_bytes(manifest.read_bytes().replace(b'"rows":2', b'"rows":3'))
    elif what == "manifest without a shard":
        lines = manifest.read_bytes().splitlines(keepends=True)
        manifest.write_bytes(b"".join([lines[0], lines[-1]]))
    elif what == "manifest of nonsense":
        manifest.write_bytes(manifest.read_bytes() + b"\x1b[31m\n")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("removed", "is missing"),
        ("a link", "is a link"),
        ("a folder", "is missing"),
        ("a pipe", "is missing"),
        ("torn", "bytes, but the manifest lists"),
        ("longer", "bytes, but the manifest lists"),
        ("another text", "another checksum"),
        ("not JSON", "is not a row of a job"),
        ("edited manifest", "has 2 rows, but the manifest lists 3"),
        ("manifest without a shard", "lists 0 shards, but ends with the number 1"),
        ("manifest of nonsense", "a line is not JSON"),
    ],
)
def test_a_file_that_the_job_did_not_write_so_is_named_in_one_sentence(
    tmp_path, results, what, reason
):
    path, manifest = finished(tmp_path)
    spoil(what, path, manifest)
    status, _, notes = results()
    assert status == 1
    assert notes.count("\n") == 1
    assert reason in notes
    assert (manifest.name if "manifest " in what else path.name) in notes
    assert "\x1b" not in notes


ROW = {"prompt": "=1+1", "topic": 'düne, "x"\r\ny', "n": 7, "deep": {"a": [1, None]}}
MESSAGE = {"tool_calls": [{"id": "t"}], "reasoning_content": "because"}
ROWS = [
    completion("a", text="-x", input=ROW, message=MESSAGE, cached_tokens=None),
    completion("b", text="", input={"prompt": "p", "topic": None, "n": None, "extra": 1}),
]
FAILURES = [failed("x", input=ROW), failed("y", input={"prompt": "p"}, seconds=1.5)]


def formats(name, kind):
    schema = pa.schema([("prompt", pa.string()), ("topic", pa.string()), ("n", pa.int64())])
    if name == "parquet":
        return Parquet(kind, schema)
    return Csv(kind, schema.names, name == "csv_raw")


def plain(row):
    """Return what each format keeps of a row; CSV keeps the columns of the input as texts."""
    given = {k: v if v is None else str(v) for k, v in (row["input"] or {}).items() if k != "deep"}
    lost = ("usage", "completion", "input")
    return {k: v for k, v in row.items() if k not in lost} | {"input": given.get("prompt")}


@pytest.mark.parametrize("name", ["parquet", "csv", "csv_raw"])
@pytest.mark.parametrize("rows", [ROWS, FAILURES], ids=["completions", "failed rows"])
def test_rows_of_tables_have_the_form_of_json_lines(tmp_path, results, name, rows):
    run = JobRun(tmp_path / "out")
    run.shard(*rows, format=formats(name, type(rows[0])))
    run.end()
    status, out, notes = results(*(["--failed"] if rows is FAILURES else []))
    assert (status, notes) == (0, "")
    expected = [orjson.loads(to_bytes(row)) for row in rows]
    got = [orjson.loads(line) for line in out.splitlines()]
    assert [plain(row) for row in got] == [plain(row) for row in expected]
    assert [row.get("completion") for row in got] == [row.get("completion") for row in expected]
    if name == "parquet":
        asked = [row["input"] for row in expected]
        assert [{k: v for k, v in row["input"].items() if v is not None} for row in got] == [
            {k: v for k, v in row.items() if v is not None} for row in asked
        ]


def test_a_damaged_table_is_named(tmp_path, results):
    run = JobRun(tmp_path / "out")
    path = run.shard(*ROWS, format=formats("parquet", Completion))
    run.end()
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    status, _, notes = results()
    assert status == 1
    assert f"{path} has another checksum" in notes


def test_lines_of_openai_batches_are_read(tmp_path, results):
    run = JobRun(tmp_path / "out")
    run.shard(completion("a", text="hi"), format=BatchLines())
    run.shard(failed("b", input={"prompt": "p"}), format=BatchLines())
    run.end()
    row = orjson.loads(results()[1])
    assert (row["id"], row["text"], row["finish_reason"]) == ("a", "hi", "stop")
    bad = orjson.loads(results("--failed")[1])
    assert (bad["id"], bad["error_type"], bad["input"]) == (
        "b",
        "BadRequestError",
        {"prompt": "p"},
    )


@pytest.fixture
def job(tmp_path):
    run = JobRun(tmp_path / "out")
    run.shard(*ROWS)
    run.shard(*FAILURES)
    return run.end()


def test_columns_are_those_of_the_input_and_ours(job, results):
    status, out, _ = results("--columns", "id,topic,text,prompt_tokens,ttft,reasoning,ritellm_id")
    assert status == 0
    assert orjson.loads(out.splitlines()[0]) == {
        "id": "a",
        "topic": ROW["topic"],
        "text": "-x",
        "prompt_tokens": None,
        "ttft": 0.25,
        "reasoning": "because",
        "ritellm_id": "a",
    }


def test_a_column_of_the_input_comes_before_ours_of_the_same_name(tmp_path, results):
    run = JobRun(tmp_path / "out")
    run.shard(completion("a", text="ours", input={"text": "theirs"}))
    run.end()
    assert orjson.loads(results("--columns", "text,ritellm_text")[1]) == {
        "text": "theirs",
        "ritellm_text": "ours",
    }


@pytest.mark.parametrize("format", ["jsonl", "csv", "table", "parquet"])
def test_an_unknown_column_is_refused_with_the_nearest_one(job, results, tmp_path, format):
    to = ["--output", str(tmp_path / "x")] if format == "parquet" else []
    status, out, notes = results("--columns", "id,topik", "--format", format, *to)
    assert (status, out) == (2, b"")
    assert "--columns names 'topik'" in notes
    assert "did you mean topic?" in notes
    assert re.findall(r"\bid\b(?=,)", notes) == ["id"]
    assert not (tmp_path / "x").exists()


def test_the_columns_of_a_checked_answer_are_columns_too(tmp_path, results):
    row = orjson.loads(to_bytes(completion("a", input={"prompt": "p"})))
    line = {"id": "a", "mood": "good", "reasks": 0, "answer_mode": "tool", **row}

    class Lines(JsonLines):
        def encode(self, row):
            return row

    run = JobRun(tmp_path / "out")
    run.shard(orjson.dumps(line), format=Lines())
    run.end()
    _, out, _ = results("--columns", "id,mood,answer_mode,text")
    assert orjson.loads(out) == {
        "id": "a",
        "mood": "good",
        "answer_mode": "tool",
        "text": "an answer",
    }
    header = results("--format", "csv")[1].decode().splitlines()[0]
    assert header.startswith("prompt,mood,reasks,answer_mode,id,text,")


def test_csv_has_the_columns_of_the_input_then_ours(job, results):
    status, out, _ = results("--format", "csv")
    assert status == 0
    first, second = csv.DictReader(io.StringIO(out.decode(), newline=""))
    assert [*first][:5] == ["prompt", "topic", "n", "deep", "extra"]
    assert (first["prompt"], first["n"], first["id"], first["text"]) == ("'=1+1", "7", "a", "'-x")
    assert second["extra"] == "1"


def test_csv_of_some_columns_is_safe_for_a_spreadsheet(job, results):
    _, out, _ = results("--format", "csv", "--columns", "prompt,topic,text,n,deep")
    assert [*csv.reader(io.StringIO(out.decode(), newline=""))] == [
        ["prompt", "topic", "text", "n", "deep"],
        ["'=1+1", 'düne, "x"\r\ny', "'-x", "7", '{"a":[1,null]}'],
        ["p", "", "", "", ""],
    ]


def test_parquet_is_a_file_of_the_same_rows(job, results, tmp_path):
    path = tmp_path / "x.parquet"
    assert results("--output", str(path))[0] == 0
    rows = pq.read_table(path).to_pylist()
    assert [(row["id"], row["text"], row["n"]) for row in rows] == [("a", "-x", 7), ("b", "", None)]
    assert results("--output", str(path), "--columns", "text,n")[0] == 0
    assert pq.read_table(path).to_pydict() == {"text": ["-x", ""], "n": [7, None]}
    assert not (tmp_path / "x.parquet.unfinished").exists()


def test_failed_rows_are_a_table_too(job, results):
    _, out, notes = results("--failed", "--format", "table")
    header, _, *lines = out.decode().splitlines()
    assert header.split() == ["id", "error_type", "message"]
    assert [line.split()[:2] for line in lines] == [
        ["x", "BadRequestError"],
        ["y", "BadRequestError"],
    ]
    assert notes == "results: 2 failed rows; the job is done\n"


def test_a_table_fits_the_terminal_and_shows_control_sequences(tmp_path, results, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    run = JobRun(tmp_path / "out")
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\u202eevil\r\nnext"
    run.shard(
        completion("a\x1b[31m", text=evil, input={"prompt": "猫" * 60}),
        completion("b", text="x" * 500, input={"prompt": "e\u0301" * 90}),
    )
    run.end()
    status, out, _ = results("--format", "table")
    text = out.decode()
    assert status == 0
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "␛]52;c;aGk=" in text
    lines = text.splitlines()
    assert len(lines) == 4
    assert all(cells_in(line) <= 60 for line in lines)
    starts = {
        cells_in(line[: line.index(mark)]) for line, mark in zip(lines[2:], "␛x", strict=True)
    }
    assert len(starts) <= 2


def test_a_cell_has_exactly_the_width_of_its_column():
    assert fit("猫猫猫", 4) == "猫… "
    assert fit("猫猫", 4) == "猫猫"
    assert fit("e\u0301a", 3) == "e\u0301a "
    assert fit("abcdef", 3) == "ab…"
    assert widths([["a", "b" * 100, "c" * 100]], 41) == [1, 18, 18]
    assert widths([["a" * 5, "b" * 5]], 200) == [5, 5]


def test_a_job_without_rows_yet_has_none(tmp_path, results):
    JobRun(tmp_path / "out")
    assert results() == (
        0,
        b"",
        "results: 0 completions; the job stopped before its end; the same command continues it\n",
    )


@pytest.mark.parametrize(
    "flags",
    [
        None,
        5,
        {"unknown_flag": 1},
        {"input": 5},
        {"input": ["gone.jsonl"], "model": "openai/m"},
        {"input": ["bigquery:p:d.t"]},
        {"input": ["in.jsonl"], "model": ["\x1b[31m"]},
        {"input": ["in.jsonl"], "prompt_template": "{{ oops"},
        {"journal": "redis://host/0"},
        {"journal": ["x"]},
    ],
)
def test_flags_that_the_program_cannot_use_leave_the_rows_of_the_files(tmp_path, results, flags):
    out = tmp_path / "out"
    JobRun(out, {"model": "openai/m", "input": ["in.jsonl"], "flags": flags}).shard(completion("a"))
    journal = SqliteJournal(str(out / "journal.sqlite"), "run", alone=True)
    journal.record(JournalKey("b", "0f" * 16), to_value(completion("b"))).result(60)
    journal.close()
    status, printed, notes = results()
    assert (status, ids(printed)) == (0, ["a"])
    said = notes.splitlines()
    assert len(said) == 2
    assert "rows that are in no shard yet are missing here" in said[0]
    assert "\x1b" not in notes


def test_an_entry_of_other_requests_is_not_shown_and_is_mentioned(tmp_path, results):
    out = tmp_path / "out"
    (tmp_path / "in.jsonl").write_text('{"id": "b", "prompt": "p"}\n')
    flags = {"input": [str(tmp_path / "in.jsonl")], "model": "openai/m"}
    JobRun(out, {"model": "openai/m", "flags": flags})
    journal = SqliteJournal(str(out / "journal.sqlite"), "run", alone=True)
    journal.record(JournalKey("b", "0f" * 16), to_value(completion("b"))).result(60)
    journal.close()
    _, printed, notes = results()
    assert printed == b""
    assert "1 entry of the journal: no row of this job's input makes such a request" in notes


def test_a_follower_of_a_stopped_job_prints_all_that_its_journal_has(
    tmp_path, results, monkeypatch
):
    """However long that takes: it looks at a job that runs in slices."""
    monkeypatch.setattr(journal_rows, "_SLICE", 0.0)
    out = tmp_path / "out"
    rows = [{"id": f"{n}", "prompt": f"p{n}"} for n in range(5)]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    flags = {"input": [str(tmp_path / "in.jsonl")], "model": "openai/m"}
    facts = {"model": "openai/m", "flags": flags}
    JobRun(out, facts)
    journal = SqliteJournal(str(out / "journal.sqlite"), "run", alone=True)
    for line in JobFlags(facts, str(out)).lines():
        prompt = parse(line)
        key = CompletePrompts("openai/m").journal_key(prompt)
        journal.record(key, to_value(completion(prompt.id))).result(60)
    journal.close()
    status, printed, notes = results("--follow")
    assert (status, sorted(ids(printed))) == (1, ["0", "1", "2", "3", "4"])
    assert "no row of this job's input" not in notes


def test_completions_in_bigquery_are_said_to_be_there(tmp_path, results):
    run = JobRun(tmp_path / "out", {**FACTS, "output_table": "p:d.t"})
    run.shard(failed("a"))
    run.end()
    status, out, notes = results()
    assert (status, out) == (2, b"")
    assert "are in the BigQuery table p:d.t" in notes
    assert ids(results("--failed")[1]) == ["a"]


def test_a_file_in_the_folder_of_the_job_is_refused(job, results, tmp_path):
    status, _, notes = results("--output", str(tmp_path / "out" / "report.json"))
    assert status == 2
    assert "must be outside of" in notes


def test_a_file_that_cannot_be_written_is_one_sentence(job, results, tmp_path):
    status, _, notes = results("--output", str(tmp_path / "no" / "x.csv"))
    assert (status, notes.count("\n")) == (2, 1)
    assert "cannot write to --output" in notes


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence(job, tmp_path):
    argv = [sys.executable, "-m", "pipelines.results", str(tmp_path / "out")]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr.startswith("results: cannot write to stdout (No space left on device)")
    assert done.stderr.count("\n") == 1


def test_nothing_in_the_folder_is_changed(job, results, tmp_path):
    def state():
        found = sorted((tmp_path / "out").rglob("*"))
        return [(path, path.stat().st_mtime_ns) for path in found]

    before = state()
    results()
    results("--failed", "--follow")
    assert state() == before


def test_the_shards_of_a_job_that_ends_meanwhile_are_read_from_the_new_run(
    tmp_path, results, monkeypatch
):
    killed = JobRun(tmp_path / "out")
    killed.shard(completion("a"), completion("b"))
    rerun = JobRun(tmp_path / "out", after=killed.id)
    rerun.shard(completion("a"))
    from pipelines.results import outcomes as reading

    look = reading.look

    def look_and_end(folder):
        found = look(folder)
        if len(rerun.shards) == 1:  # the job ends just after the first look
            rerun.shard(completion("b", text="newer"))
            for path in (tmp_path / "out").glob(f"completions-{killed.id}-*"):
                path.unlink()
            (tmp_path / "out" / "_manifest" / f"{killed.id}.jsonl").unlink()
            rerun.end()
        return found

    monkeypatch.setattr(reading, "look", look_and_end)
    _, out, _ = results()
    assert ids(out) == ["a", "b"]


def test_our_columns_are_those_of_the_tables():
    assert [*columns.COMPLETED, outcomes.REST] == [*outcomes.COMPLETION]
    assert [*columns.FAILED, outcomes.REST] == [*outcomes.FAILED]


def test_a_follower_of_a_finished_job_ends_and_one_of_a_stopped_job_says_so(job, results, tmp_path):
    status, out, notes = results("--follow")
    assert (status, ids(out), notes) == (0, ["a", "b"], "")
    shutil.rmtree(tmp_path / "out")
    JobRun(tmp_path / "out").shard(completion("c"))
    status, out, notes = results("--follow")
    assert (status, ids(out)) == (1, ["c"])
    assert notes == (
        "results: 1 completion; the job stopped before its end; the same command continues it\n"
    )


def test_parquet_cannot_be_followed(job, results):
    status, _, notes = results("--follow", "--format", "parquet")
    assert status == 2
    assert "--follow cannot write parquet" in notes


PROBE = """
import sys
from pipelines.results.__main__ import main
from pipelines.results.job_flags import JobFlags
try:
    main(sys.argv[1:])
finally:
    print("apache_beam" in sys.modules, "pyarrow" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("flags", [[], ["--failed"], ["--format", "table"], ["--columns", "id"]])
def test_a_finished_job_of_json_lines_is_read_without_beam(job, tmp_path, flags):
    argv = [sys.executable, "-c", PROBE, str(tmp_path / "out"), *flags]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.stderr.splitlines()[-1] == "False False"
    assert done.stdout


def test_the_help_is_printed_without_beam():
    argv = [sys.executable, "-c", PROBE, "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert "--follow" in done.stdout
    assert done.stderr.splitlines()[-1] == "False False"
