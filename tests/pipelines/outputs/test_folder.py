"""The output folder: a job replaces what an earlier job wrote there, and nothing else."""

from __future__ import annotations

import os

import orjson
import pytest
from batch_job import Job

from pipelines.errors import UsageError
from pipelines.outputs import claims


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    made = Job(fake_server, tmp_path, capsys)
    return made.write({"id": "a", "prompt": "one"})


ONE = "completions-00000-of-00001.jsonl"


@pytest.mark.parametrize("flags", [[], ["--keep_order"]])
def test_a_folder_with_brackets_in_its_name_works_like_any(job, flags):
    job.out = job.folder / "out[1]"
    for text in ("one", "two"):
        job.write({"id": text, "prompt": text}, "nonsense")
        assert job.run(*flags) == 0
        assert job.rows("completions").keys() == {text}
        assert f"completions: {job.out / ONE}" in job.printed.out
    assert job.report["files"] == [ONE, "failed-rows-00000-of-00001.jsonl"]
    assert not list(job.out.glob(".*"))
    assert not list(job.out.glob("beam-temp-*"))


def test_files_that_no_job_wrote_survive_the_next_job(job):
    assert job.run() == 0
    mine = {
        "completions-run1.jsonl": (job.out / ONE).read_text(),
        "completions-20260102T030405-77.jsonl": "of a streaming job",
        "failed-rows-to-look-at.jsonl": "mine",
        "notes.unfinished": "mine",
        "beam-temp-mine": "mine",
    }
    for name, text in mine.items():
        (job.out / name).write_text(text)
    (job.out / "completions-00007-of-00009.jsonl").write_text("mine")
    job.write({"id": "b", "prompt": "two"})
    assert job.run() == 0
    assert {name: (job.out / name).read_text() for name in mine} == mine
    assert (job.out / "completions-00007-of-00009.jsonl").read_text() == "mine"
    said = "completions-00007-of-00009.jsonl is not an output of this job, and stays"
    assert said in job.printed.err
    assert job.report["files"] == [ONE]
    assert orjson.loads((job.out / ONE).read_text())["id"] == "b"


def test_outputs_that_the_report_lists_are_removed_if_the_next_job_has_none_of_them(job):
    job.write({"id": "a", "prompt": "one"}, "nonsense")
    assert job.run("--emit_deltas") == 0
    assert [name.partition("-")[0] for name in job.report["files"]] == [
        *["completions", "deltas", "failed"],
    ]
    job.write({"id": "a", "prompt": "one"})
    assert job.run() == 0
    assert [file.name for file in job.out.glob("*-*-of-*")] == [ONE]


def test_outputs_beside_a_report_without_a_list_are_those_of_an_older_version(job):
    assert job.run() == 0
    report = {name: value for name, value in job.report.items() if name != "files"}
    (job.out / "report.json").write_bytes(orjson.dumps(report))
    (job.out / "completions-00001-of-00002.jsonl").write_text("old")
    assert job.run() == 0
    assert [file.name for file in job.out.glob("*-*-of-*")] == [ONE]


@pytest.mark.parametrize("text", ["[1]", "not JSON", '{"rows": 5}'])
def test_a_report_that_no_job_wrote_is_not_replaced(job, text):
    job.out.mkdir()
    (job.out / "report.json").write_text(text)
    assert job.run() == 2
    assert "report.json is not the report of a job, and this job would replace" in job.printed.err
    assert (job.out / "report.json").read_text() == text
    assert not job.server.requests


def test_a_second_job_in_a_folder_is_refused_and_deletes_nothing(job):
    begun = job.out / "beam-temp-completions-12ab" / "half.jsonl"
    begun.parent.mkdir(parents=True)
    begun.write_text("half")
    with claims.claimed(str(job.out)):
        assert job.run(f"--journal=sqlite:{job.folder}/b.sqlite") == 2
        assert "another job is writing to --output" in job.printed.err
        assert len(job.printed.err.strip().splitlines()) == 1
    assert begun.exists()
    assert not job.server.requests
    assert job.run() == 0
    assert not begun.parent.exists()


def test_a_claim_ends_with_its_job(tmp_path):
    claim = claims.claimed(str(tmp_path))
    with claims.claimed(str(tmp_path)), pytest.raises(UsageError), claim:
        pass
    with claims.claimed(str(tmp_path)):
        pass


def test_a_claim_ends_with_its_job_although_a_forked_process_lives_on(tmp_path):
    reader, writer = os.pipe()
    with claims.claimed(str(tmp_path)):
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # ends when the parent closes its end
            os._exit(0)
    with claims.claimed(str(tmp_path)):
        pass
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


def test_completions_of_another_model_are_not_replaced_without_a_word(job):
    assert job.run() == 0
    assert job.run("--model=openai/m") == 0
    assert "replaces" not in job.printed.err
    assert job.run("--model=openai/other") == 0
    said = f"this job replaces 1 completions of openai/m in {job.out}; use another --output"
    assert said in job.printed.err


def test_a_bucket_with_a_wildcard_in_its_path_is_refused_as_output(job):
    argv = job.argv("in.jsonl")
    argv[3] = "gs://bucket/out[1]"
    assert job.call(argv) == 2
    assert "--output must not have *, ? or brackets on other machines" in job.printed.err
