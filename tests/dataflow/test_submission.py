"""A job on its way to Dataflow: submitted, looked into, and executed as it was staged."""

from __future__ import annotations

import base64
import bz2
import io
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zlib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from fake_dataflow import Bucket, FakeDataflow
from fake_server import FakeServer

if find_spec("gcp_storage_emulator") is None or find_spec("apache_beam.internal.gcp") is None:
    pytest.skip("gcp-storage-emulator is not installed", allow_module_level=True)
pytest.importorskip("google.cloud.dataflow_v1beta3", reason="apache-beam[gcp] is not installed")
pytest.importorskip("google.cloud.secretmanager", reason="apache-beam[gcp] is not installed")

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
MAIN = ROOT / "templates" / "batch_complete" / "main.py"
IMAGE = "europe-west4-docker.pkg.dev/my-project/jobs/batch_complete:1"
PROGRAM = [sys.executable, str(HERE / "without_google.py")]
VERSION = "projects/my-project/secrets/openai/versions/3"
SECRET = "sk-planted-in-secret-manager"
ROWS = b'{"id":"a","prompt":"one two","topic":"x"}\n{"id":"b","prompt":"three"}\nnonsense\n'


@pytest.fixture(scope="module")
def storage():
    """The address of a storage emulator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from gcp_storage_emulator.__main__ import main; main()"]
    command += ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    command += ["--default-bucket=bucket"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as emulator:
        host = f"http://127.0.0.1:{port}"
        wait_for(lambda: Bucket(host, "bucket").names() == [])
        yield host
        emulator.terminate()


def wait_for(there, seconds=20.0):
    end = time.monotonic() + seconds
    while True:
        try:
            if there():
                return
        except OSError:
            pass
        assert time.monotonic() < end, "it did not come up"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def google(storage):
    """What a job of these tests needs of Google."""
    bucket = Bucket(storage, "bucket")
    bucket.put("in/rows.jsonl", ROWS)
    return SimpleNamespace(host=storage, bucket=bucket)


def run(google, *arguments, cwd=ROOT, path=ROOT, secret=None):
    """Run `without_google.py`; returns the finished process."""
    command, environ = [*PROGRAM, *arguments], environment(google, path, secret)
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
    done.said = done.stdout + done.stderr
    return done


def environment(google, path=ROOT, secret=None):
    environ = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    environ |= {"STORAGE_EMULATOR_HOST": google.host, "PYTHONPATH": str(path)}
    return environ | ({"FAKE_SECRET": secret} if secret else {})


def submission(folder, base_url, **changes):
    """Return the flags of a job in a folder of the bucket."""
    given = {
        "input": "gs://bucket/in/*.jsonl",
        "output": f"gs://bucket/{folder}/out",
        "model": "openai/m",
        "base_url": base_url,
        "api_key_secret": VERSION,
        "runner": "DataflowRunner",
        "project": "my-project",
        "region": "europe-west4",
        "job_name": folder,
        "temp_location": f"gs://bucket/{folder}/tmp",
        "staging_location": f"gs://bucket/{folder}/staging",
        "labels": "team=research",
        **changes,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


@pytest.fixture(scope="module")
def submitted(google):
    """A job, submitted from the repository with --setup_file, as a person would."""
    with FakeServer() as models, FakeDataflow() as dataflow:
        flags = submission("plain", models.base_url, max_num_workers=7)
        flags += [f"--dataflow_endpoint={dataflow.endpoint}", "--no_auth"]
        flags += ["--setup_file=./setup.py"]
        started = time.monotonic()
        done = run(google, "submit", "pipelines.batch_complete", *flags, secret=SECRET)
        seconds = dataflow.submitted_at - started
        assert done.returncode == 0, done.said
        [job] = dataflow.jobs
        yield SimpleNamespace(job=job, said=done.said, models=models, seconds=seconds)


def staged(google, folder):
    """Return what was staged, by name; the files in archives too."""
    found = {}
    for name in google.bucket.names():
        if name.startswith(f"{folder}/"):
            found[name] = google.bucket.get(name)
            if name.endswith(".tar.gz"):
                with tarfile.open(fileobj=io.BytesIO(found[name])) as archive:
                    files = [member for member in archive if member.isfile()]
                    found |= {f.name: archive.extractfile(f).read() for f in files}
    return found


def pipeline_of(google, folder):
    [name] = [n for n in google.bucket.names("/pipeline.pb") if n.startswith(f"{folder}/")]
    return google.bucket.get(name)


def worker_folder(google, tmp_path):
    [name] = [n for n in google.bucket.names("/workflow.tar.gz") if n.startswith("plain/")]
    with tarfile.open(fileobj=io.BytesIO(google.bucket.get(name))) as archive:
        archive.extractall(tmp_path / "code", filter="data")
    [code] = (tmp_path / "code").iterdir()
    return code


def executed(google, folder, tmp_path, secret=SECRET):
    """Run the pipeline that was staged for the job `folder`, with the code that was staged."""
    pipeline = tmp_path / "pipeline.pb"
    pipeline.write_bytes(pipeline_of(google, folder))
    code = worker_folder(google, tmp_path)
    return run(google, "execute", str(pipeline), cwd=tmp_path, path=code, secret=secret)


def rows(google, folder, name):
    lines = [
        line
        for found in google.bucket.names(".jsonl")
        if found.startswith(f"{folder}/out/{name}-")
        for line in google.bucket.get(found).splitlines()
    ]
    return {row["id"]: row for row in map(orjson.loads, lines)}


def unpacked(data):
    """Return `data` with all that is packed in it: Beam's pickles are compressed, in base64."""
    found = [data]
    for packed in re.findall(rb"[A-Za-z0-9+/]{32,}={0,2}", data):
        for start in range(3):  # a length in front of it can look like a part of it
            try:
                raw = base64.b64decode(packed[start:] + b"==")
            except ValueError:
                continue
            for decompress in (bz2.decompress, lambda d: zlib.decompressobj().decompress(d)):
                try:
                    found.append(unpacked(decompress(raw)))
                except (OSError, ValueError, zlib.error):
                    pass
    return b"\0".join(found)


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


def test_a_submission_takes_no_longer_than_a_person_waits(submitted):
    print(f"from the command line to the job: {submitted.seconds:.1f} s")  # shown by -rP
    assert submitted.seconds < 60


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
        ({"api_key_secret": "sk-a-key"}, "a key itself is never an argument"),
        ({"model": "opnai/m"}, "did you mean openai/m?"),
        ({"api_key_secret": f"{VERSION}00"}, f"there is no {VERSION}00: look at its name"),
        ({"api_key_secret": VERSION.replace("/3", "/99")}, "is disabled: enable it, or name"),
        ({"max_in_flight": "many"}, "'many' is not a positive whole number"),
        ({"emit_deltas": "perhaps"}, "'perhaps' is neither true nor false"),
    ],
    ids=[
        "no input",
        "no bucket",
        "a key",
        "no model",
        "no version",
        "disabled version",
        "no number",
        "no boolean",
    ],
)
def test_what_cannot_work_is_one_line_and_no_job(google, changes, words):
    with FakeDataflow() as dataflow:
        flags = submission("wrong", "http://127.0.0.1:9/v1", **changes)
        flags += [f"--dataflow_endpoint={dataflow.endpoint}", "--no_auth"]
        done = run(google, "submit", "pipelines.batch_complete", *flags)
    assert done.returncode == 2
    assert words in done.stderr.strip().splitlines()[-1]
    assert not dataflow.jobs
    assert "sk-a-key" not in done.said


def test_a_job_that_dataflow_gives_up_is_a_failure_here(google):
    with FakeDataflow("JOB_STATE_RUNNING", "JOB_STATE_FAILED") as dataflow:
        flags = submission("failing", "http://127.0.0.1:9/v1")
        flags += [f"--dataflow_endpoint={dataflow.endpoint}", "--no_auth"]
        done = run(google, "submit", "pipelines.batch_complete", *flags)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("batch_complete: the job failed: ")
    assert last.endswith("Causes: the quota of CPUs is used up.")
    assert len(dataflow.jobs) == 1


def test_stopping_the_command_does_not_pretend_to_stop_the_job(google):
    with FakeDataflow("JOB_STATE_RUNNING") as dataflow:
        flags = submission("stopped", "http://127.0.0.1:9/v1")
        flags += [f"--dataflow_endpoint={dataflow.endpoint}", "--no_auth"]
        command = [*PROGRAM, "submit", "pipelines.batch_complete", *flags]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=ROOT, env=environment(google), **streams) as program:
            wait_for(lambda: dataflow.states_asked, seconds=60)
            program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert err.strip().splitlines()[-1] == (
        "batch_complete: stopped; a job that was submitted goes on where it runs"
    )


# --- With the template ---------------------------------------------------------------------------


def test_the_template_writes_the_job_that_its_launcher_asks_for(google, fake_server, tmp_path):
    """The launcher runs main.py with --template_location; Dataflow takes the job from there."""
    place = "gs://bucket/launched/template_launches/1/job_object"
    flags = submission(
        "launched",
        fake_server.base_url,
        template_location=place,
        sdk_container_image=IMAGE,
        service_account_email="workers@my-project.iam.gserviceaccount.com",
        emit_deltas="true",
    )
    done = run(google, "submit", str(MAIN), *flags, cwd=tmp_path)
    assert done.returncode == 0, done.said
    job = orjson.loads(google.bucket.get("launched/template_launches/1/job_object"))
    [pool] = job["environment"]["workerPools"]
    assert pool["sdkHarnessContainerImages"][0]["containerImage"] == IMAGE
    assert "workflow.tar.gz" not in [package["name"] for package in pool["packages"]]
    assert SECRET.encode() not in orjson.dumps(job)
    assert fake_server.requests == []


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_launches_the_template_with_parameters_that_the_program_takes(tmp_path):
    parameters = {
        "input": "gs://bucket/in/*.jsonl",
        "output": "gs://bucket/out",
        "model": "openai/m",
        "api_key_secret": VERSION,
        "sdk_container_image": IMAGE,
    }
    with FakeDataflow() as dataflow:
        command = ["gcloud", "dataflow", "flex-template", "run", "nightly", "--region=europe-west4"]
        command += ["--template-file-gcs-location=gs://bucket/spec.json", "--project=my-project"]
        command += [f"--parameters={name}={value}" for name, value in parameters.items()]
        environ = os.environ | {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW": f"{dataflow.endpoint}/",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CONFIG": str(tmp_path),
        }
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [launch] = dataflow.launches
    assert launch["launchParameter"]["parameters"] == parameters
    assert launch["launchParameter"]["containerSpecGcsPath"] == "gs://bucket/spec.json"
