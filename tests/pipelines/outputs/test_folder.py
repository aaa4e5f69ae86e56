"""The output folder: a job replaces what an earlier job wrote there, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil

import orjson
import pytest
from batch_job import Job
from fake_server import api_error, chat_stream

from pipelines import filesystem
from pipelines.errors import UsageError
from pipelines.outputs import claims, folder
from pipelines.outputs.shards.manifest import Shard, runs


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    made = Job(fake_server, tmp_path, capsys)
    return made.write({"id": "a", "prompt": "one"})


RUN = r"\d{8}T\d{9}-[0-9a-f]{6}"
OLD = "completions-00000-of-00001.jsonl"


def outputs(job):
    """Return the kinds of the outputs in the folder, by name, without runs and numbers."""
    return [re.sub(rf"-{RUN}-.*", "", name) for name in names(job) if folder.is_output(name)]


def names(job):
    return sorted(file.name for file in job.out.iterdir())


@pytest.mark.parametrize("flags", [[], ["--keep_order"]])
def test_a_folder_with_brackets_in_its_name_works_like_any(job, flags):
    job.out = job.folder / "out[1]"
    for text in ("one", "two"):
        job.write({"id": text, "prompt": text}, "nonsense")
        assert job.run(*flags) == 0
        assert job.rows("completions").keys() == {text}
        assert f"completions: {job.out}/{job.report['files'][0]}\n" in job.printed.out
    assert outputs(job) == ["completions", "failed-rows"]
    assert not list(job.out.glob(".*"))
    assert not list(job.out.glob("_unfinished*"))


def test_a_finished_folder_has_the_shards_the_manifest_the_report_and_the_mark(job):
    assert job.run("--journal=none") == 0
    success, manifest, shard, page, report = names(job)
    assert re.fullmatch(rf"completions-{RUN}-00001\.jsonl", shard)
    assert (manifest, success) == ("_manifest", "_SUCCESS")
    assert (page, report) == ("report.html", "report.json")
    assert (job.out / "_SUCCESS").read_bytes() == b""
    (run,) = runs(str(job.out))
    data = (job.out / shard).read_bytes()
    assert run.complete
    assert run.shards == (
        Shard(shard, "completions", 1, len(data), hashlib.sha256(data).hexdigest()),
    )
    assert (run.facts["model"], run.facts["pid"]) == ("openai/m", os.getpid())
    assert (job.report["run"], job.report["files"]) == (run.id, [shard])


def test_files_that_no_job_wrote_survive_the_next_job(job):
    assert job.run() == 0
    (first,) = job.report["files"]
    mine = {
        "completions-run1.jsonl": (job.out / first).read_text(),
        "completions-20260102T030405-77.jsonl": "of a streaming job",
        f"copy of {first}": "mine",
        "failed-rows-to-look-at.jsonl": "mine",
        "notes.unfinished": "mine",
        "beam-temp-mine": "mine",
        "_manifest/notes.txt": "mine",
        "_unfinished/notes.txt": "mine",
    }
    (job.out / "_unfinished").mkdir()
    for name, text in mine.items():
        (job.out / name).write_text(text)
    (job.out / "completions-00007-of-00009.jsonl").write_text("mine")
    assert job.run() == 0
    assert {name: (job.out / name).read_text() for name in mine} == mine
    assert (job.out / "completions-00007-of-00009.jsonl").read_text() == "mine"
    said = "completions-00007-of-00009.jsonl is not an output of this job, and stays"
    assert said in job.printed.err
    (second,) = job.report["files"]
    assert second != first
    assert not (job.out / first).exists()
    assert orjson.loads((job.out / second).read_text())["id"] == "a"


def test_outputs_of_the_last_run_are_removed_if_the_next_one_has_none_of_their_kind(job):
    job.write({"id": "a", "prompt": "one"}, "nonsense")
    assert job.run("--emit_deltas") == 0
    assert outputs(job) == ["completions", "deltas", "failed-rows"]
    job.write({"id": "a", "prompt": "one"})
    assert job.run() == 0
    assert outputs(job) == ["completions"]


def test_a_run_that_fails_leaves_the_output_of_the_one_before(job):
    assert job.run() == 0
    (first,) = job.report["files"]
    job.server.script = lambda request: api_error(401)
    job.write(*({"id": f"{n}", "prompt": f"two {n}"} for n in range(30)))
    assert job.run("--journal=none") == 1
    assert (job.out / first).exists()
    assert not (job.out / "_SUCCESS").exists()
    newest, before = runs(str(job.out))
    assert (newest.complete, before.complete) == (False, True)


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "of-older-versions-still"])
def test_outputs_of_an_older_version_are_replaced(job, listed):
    job.out.mkdir()
    facts = {"rows": 1, "completed": 1, "model": "openai/m", "input": [f"{job.folder}/in.jsonl"]}
    files = {"files": [OLD]} if listed else {}
    (job.out / "report.json").write_bytes(orjson.dumps({**facts, **files}))
    (job.out / OLD).write_text("old")
    (job.out / "completions-00007-of-00009.jsonl").write_text("old")
    assert job.run() == 0
    stays = ["completions-00007-of-00009.jsonl"] if listed else []
    assert [*job.report["files"], *stays] == [n for n in names(job) if folder.is_output(n)][::-1]


@pytest.mark.parametrize("text", ["[1]", "not JSON", '{"rows": 5}'])
def test_a_report_that_no_job_wrote_is_not_replaced(job, text):
    job.out.mkdir()
    (job.out / "report.json").write_text(text)
    assert job.run() == 2
    assert "report.json is not the report of a job, and this job would replace" in job.printed.err
    assert (job.out / "report.json").read_text() == text
    assert not job.server.requests


def test_a_second_job_in_a_folder_is_refused_and_deletes_nothing(job):
    old = job.out / "beam-temp-completions-12ab" / "half.jsonl"
    begun = job.out / "_unfinished" / "completions-20260102T030405678-0a1b2c-00001.jsonl"
    for file in (old, begun):
        file.parent.mkdir(parents=True)
        file.write_text("half")
    with claims.claimed(str(job.out)):
        assert job.run(f"--journal=sqlite:{job.folder}/b.sqlite") == 2
        assert "another job is writing to --output" in job.printed.err
        assert len(job.printed.err.strip().splitlines()) == 1
    assert begun.exists()
    assert old.exists()
    assert not job.server.requests
    assert job.run() == 0
    assert not begun.parent.exists()
    assert not old.parent.exists()


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


OTHERS = {
    "model": (["--model=openai/other"], "its model is openai/m, not openai/other"),
    "input": (["--input=in.jsonl"], "its input is {0}/in.jsonl, not {0}/in.jsonl in.jsonl"),
}


@pytest.mark.parametrize(("flags", "words"), OTHERS.values(), ids=OTHERS)
def test_a_job_of_another_model_or_input_is_refused_without_overwrite(
    job, monkeypatch, flags, words
):
    assert job.run() == 0
    before, requests = job.report, len(job.server.requests)
    job.capsys.readouterr()
    monkeypatch.chdir(job.folder)
    assert job.run(*flags) == 2
    assert job.printed.err == (
        f"batch_complete: --output {job.out} has 1 completions of another job"
        f" ({words.format(job.folder)}); choose another --output, or add --overwrite to replace"
        " them when this job is complete\n"
    )
    assert (job.report, len(job.server.requests)) == (before, requests)
    assert job.run(*flags, "--overwrite") == 0
    assert outputs(job)[0] == "completions"
    assert job.report["run"] != before["run"]


def test_the_same_job_may_name_its_input_differently(job, monkeypatch):
    assert job.run() == 0
    monkeypatch.chdir(job.folder)
    argv = job.argv("in.jsonl")
    argv[1] = "in.jsonl"
    assert job.call(argv) == 0


def test_a_job_whose_folder_disappears_stops_and_says_so(job):
    def remove_and_answer(request):
        shutil.rmtree(job.out)
        job.server.script = lambda request: chat_stream("fine")
        return chat_stream("fine")

    job.server.script = remove_and_answer
    assert job.run("--journal=none") == 1
    last = job.printed.err.strip().splitlines()[-1]
    assert last.startswith(
        f"batch_complete: stopped: the output folder {job.out} was removed or renamed"
    )
    assert "run the same command again" in last
    assert "Traceback" not in job.printed.err
    assert job.run("--journal=none") == 0
    assert outputs(job) == ["completions"]


def test_a_folder_that_has_only_failed_rows_takes_another_model(job):
    job.server.script = lambda request: api_error(404)
    assert job.run() == 1
    job.server.script = lambda request: chat_stream("fine")
    assert job.run("--model=openai/other") == 0
    assert outputs(job) == ["completions"]


def test_a_bucket_with_a_wildcard_in_its_path_is_refused_as_output(job, monkeypatch):
    monkeypatch.setattr(filesystem, "_is_installed", lambda module: True)
    argv = job.argv("in.jsonl")
    argv[3] = "gs://bucket/out[1]"
    assert job.call(argv) == 2
    assert "--output must not have *, ? or brackets on other machines" in job.printed.err
