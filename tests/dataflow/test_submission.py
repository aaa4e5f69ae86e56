"""The batch job on its way to Dataflow: submitted, looked into, and executed as it was staged."""

from __future__ import annotations

import base64
import bz2
import pickle
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from fake_dataflow import FakeDataflow
from fake_server import FakeServer
from started_programs import started
from submitting import (
    ROOT,
    SECRET,
    VERSION,
    WITHOUT_GOOGLE,
    environment,
    executed,
    pipeline_of,
    run,
    staged,
    submission,
    to,
    unpacked,
    wait_for,
)

from pipelines import batch_complete

ROWS = b'{"id":"a","prompt":"one two","topic":"x"}\n{"id":"b","prompt":"three"}\nnonsense\n'


@pytest.fixture(scope="module", autouse=True)
def prompts(google):
    """What the jobs read."""
    google.bucket.put("in/rows.jsonl", ROWS)


def flags(folder, base_url, **changes):
    """Return the flags of a job in a folder of the bucket."""
    ours = {
        "input": "gs://bucket/in/*.jsonl",
        "output": f"gs://bucket/{folder}/out",
        "base_url": base_url,
    }
    return submission(folder, ours, **changes)


@pytest.fixture(scope="module")
def submitted(google):
    """A job, submitted from the repository with --setup_file, as a person would."""
    with FakeServer() as models, FakeDataflow() as dataflow:
        argv = flags("plain", models.base_url, max_num_workers=7, setup_file="./setup.py")
        argv += to(dataflow)
        done = run(google, "submit", "pipelines.batch_complete", *argv, secret=SECRET)
        assert done.returncode == 0, done.said
        [job] = dataflow.jobs
        yield SimpleNamespace(job=job, said=done.said, models=models)


def rows(google, folder, name):
    lines = [
        line
        for found in google.bucket.names(".jsonl")
        if found.startswith(f"{folder}/out/{name}-")
        for line in google.bucket.get(found).splitlines()
    ]
    return {row["id"]: row for row in map(orjson.loads, lines)}


def test_a_secret_in_a_job_would_be_found():
    pickled = base64.b64encode(bz2.compress(pickle.dumps({"key": SECRET})))
    assert SECRET.encode() in unpacked(b"\x0a\x10" + pickled + b"\x12")
    assert SECRET.encode() not in pickled


# --- Without a template --------------------------------------------------------------------------


def test_the_job_says_what_was_asked_of_dataflow(submitted):
    job = submitted.job
    options = job["environment"]["sdkPipelineOptions"]["options"]
    assert job["name"] == "plain"
    assert job["labels"] == {"team": "research"}
    assert job["environment"]["version"]["job_type"] == "FNAPI_BATCH"
    assert (options["project"], options["region"]) == ("my-project", "europe-west4")
    assert options["max_num_workers"] == 7
    assert "use_runner_v2" in job["environment"]["experiments"]
    [pool] = job["environment"]["workerPools"]
    [image] = pool["sdkHarnessContainerImages"]
    assert "beam_python3." in image["containerImage"]
    assert "workflow.tar.gz" in [package["name"] for package in pool["packages"]]


def test_the_page_of_the_job_shows_the_flags_and_each_step_its_model(submitted):
    shown = submitted.job["environment"]["sdkPipelineOptions"]
    options, items = shown["options"], {each["key"]: each for each in shown["display_data"]}
    assert (options["model"], options["input"]) == ("openai/m", ["gs://bucket/in/*.jsonl"])
    assert options["api_key_secret"] == VERSION  # the name of the secret, not the secret
    assert items["model"]["value"] == "openai/m"
    assert items["output"]["value"] == "gs://bucket/plain/out"


def test_the_submitter_needs_no_secret_and_none_is_in_the_job(submitted, google):
    """Submitted with the secret in the environment: what is pickled here must not pick it up."""
    texts = {"job": orjson.dumps(submitted.job), "said": submitted.said.encode()}
    for name, data in (texts | staged(google, "plain")).items():
        assert SECRET.encode() not in unpacked(data), name
    assert VERSION.encode() in unpacked(pipeline_of(google, "plain"))


def test_the_staged_code_is_ours_and_whole(submitted, google):
    names = {Path(*Path(name).parts[1:]).as_posix() for name in staged(google, "plain")}
    for package in ("ritellm", "transforms", "pipelines"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in names


def test_what_was_staged_completes_every_row(submitted, google, tmp_path):
    done = executed(google, "plain", tmp_path)
    assert done.returncode == 0, done.said
    completions, failed = rows(google, "plain", "completions"), rows(google, "plain", "failed")
    assert {id: row["text"] for id, row in completions.items()} == {"a": "one two", "b": "three"}
    assert completions["a"]["input"]["topic"] == "x"
    assert [row["error_type"] for row in failed.values()] == ["RowError"]
    report = orjson.loads(google.bucket.get("plain/out/report.json"))
    assert (report["rows"], report["completed"], report["failed"]) == (3, 2, 1)
    sent = {request.headers["authorization"] for request in submitted.models.requests}
    assert sent == {f"Bearer {SECRET}"}
    assert SECRET not in done.said
    assert not [name for name, data in staged(google, "plain").items() if SECRET.encode() in data]


def test_launched_again_it_goes_on_from_the_journal_and_pays_nothing_twice(
    submitted, google, tmp_path
):
    for again in ("first", "second"):
        (tmp_path / again).mkdir()
        done = executed(google, "plain", tmp_path / again)
        assert done.returncode == 0, done.said
    assert len(submitted.models.requests) == 2
    assert orjson.loads(google.bucket.get("plain/out/report.json"))["replayed"] == 2


def test_a_worker_without_access_to_the_secret_says_so_in_one_sentence(submitted, google, tmp_path):
    before = len(submitted.models.requests)
    done = executed(google, "plain", tmp_path, secret=None)
    assert done.returncode != 0
    assert f"cannot read {VERSION}: 403 Permission denied on {VERSION}" in done.said
    assert len(submitted.models.requests) == before


# --- What cannot work is said before anything is submitted ---------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": "gs://bucket/none/*.jsonl"}, "matches no file"),
        ({"output": "gs://no-such-bucket/out"}, "cannot write to --output gs://no-such-bucket/out"),
        (
            {"temp_location": "gs://no-such-bucket/t"},
            "cannot write to --temp_location gs://no-such",
        ),
        ({"api_key_secret": "sk-a-key"}, "do not pass the key itself"),
        ({"model": "opnai/m"}, "did you mean openai/m?"),
        ({"api_key_secret": f"{VERSION}00"}, f"{VERSION}00 does not exist; check the name"),
        (
            {"api_key_secret": VERSION.replace("/3", "/99")},
            "is disabled; enable it, or choose another version",
        ),
        ({"max_in_flight": "many"}, "must be a positive whole number, got 'many'"),
        ({"emit_deltas": "perhaps"}, "must be true or false, got 'perhaps'"),
    ],
    ids=[
        "no input",
        "no bucket",
        "no bucket for Dataflow's files",
        "a key",
        "no model",
        "no version",
        "disabled version",
        "no number",
        "no boolean",
    ],
)
def test_what_cannot_work_is_one_line_and_no_job(refused, changes, words):
    with FakeDataflow() as dataflow:
        argv = flags("wrong", "http://127.0.0.1:9/v1", **changes)
        status, said = refused(batch_complete.main, *argv, *to(dataflow))
    assert (status, dataflow.jobs) == (2, [])
    assert words in said
    assert "sk-a-key" not in said


def test_a_job_that_dataflow_gives_up_is_a_failure_here(google):
    with FakeDataflow("JOB_STATE_RUNNING", "JOB_STATE_FAILED") as dataflow:
        argv = [*flags("failing", "http://127.0.0.1:9/v1"), *to(dataflow)]
        done = run(google, "submit", "pipelines.batch_complete", *argv)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("batch_complete: the job failed: ")
    assert last.endswith("Causes: the quota of CPUs is used up.")
    assert len(dataflow.jobs) == 1


def test_stopping_the_command_does_not_pretend_to_stop_the_job(google):
    with FakeDataflow("JOB_STATE_RUNNING") as dataflow:
        argv = [*flags("stopped", "http://127.0.0.1:9/v1"), *to(dataflow)]
        command = [*WITHOUT_GOOGLE, "submit", "pipelines.batch_complete", *argv]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        with started(command, cwd=ROOT, env=environment(google), **streams) as program:
            wait_for(lambda: dataflow.states_asked, seconds=60)
            program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=120)
    assert program.returncode == 130
    assert err.strip().splitlines()[-1] == (
        "batch_complete: stopped; the submitted job keeps running on its runner"
    )
