"""The templates on their way to Dataflow: by gcloud, and as their launcher runs them."""

from __future__ import annotations

import json
import shutil

import orjson
import pytest
from fake_dataflow import FakeDataflow
from submitting import ROOT, SECRET, VERSION, gcloud, run, submission

GCLOUD = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
IMAGE = "europe-west4-docker.pkg.dev/my-project/jobs/NAME:1"
BATCH = {"input": "gs://bucket/in/*.jsonl", "output": "gs://bucket/launched/out"}
STREAM = {
    "source": "pubsub:projects/my-project/subscriptions/prompts",
    "deltas_to": "pubsub:projects/my-project/topics/deltas",
    "completions_to": "pubsub:projects/my-project/topics/answers",
}
TEMPLATES = pytest.mark.parametrize(
    ("template", "ours", "job_type"),
    [("batch_complete", BATCH, "FNAPI_BATCH"), ("stream_complete", STREAM, "FNAPI_STREAMING")],
    ids=["batch_complete", "stream_complete"],
)


@TEMPLATES
def test_the_template_writes_the_job_that_its_launcher_asks_for(
    google, fake_server, tmp_path, template, ours, job_type
):
    """The launcher runs main.py with --template_location; Dataflow takes the job from there."""
    google.bucket.put("in/rows.jsonl", b'{"prompt": "one"}\n')
    folder, image = template.replace("_", "-"), IMAGE.replace("NAME", template)
    argv = submission(
        folder,
        ours,
        base_url=fake_server.base_url,
        template_location=f"gs://bucket/{folder}/template_launches/1/job_object",
        sdk_container_image=image,
        service_account_email="workers@my-project.iam.gserviceaccount.com",
        journal_required="true",
    )
    main = ROOT / "templates" / template / "main.py"
    given = {"secret": SECRET, "PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}  # no server is there
    done = run(google, "submit", str(main), *argv, cwd=tmp_path, **given)
    assert done.returncode == 0, done.said
    job = orjson.loads(google.bucket.get(f"{folder}/template_launches/1/job_object"))
    assert job["environment"]["version"]["job_type"] == job_type
    [pool] = job["environment"]["workerPools"]
    assert pool["sdkHarnessContainerImages"][0]["containerImage"] == image
    assert "workflow.tar.gz" not in [package["name"] for package in pool["packages"]]
    assert SECRET.encode() not in orjson.dumps(job)
    assert fake_server.requests == []


@GCLOUD
@TEMPLATES
def test_gcloud_launches_the_template_with_parameters_that_the_program_takes(
    tmp_path, template, ours, job_type
):
    image = IMAGE.replace("NAME", template)
    parameters = {**ours, "model": "openai/m", "api_key_secret": VERSION}
    parameters["sdk_container_image"] = image
    with FakeDataflow() as dataflow:
        flags = [f"--parameters={name}={value}" for name, value in parameters.items()]
        flags += [f"--template-file-gcs-location=gs://bucket/templates/{template}.json"]
        done = gcloud(dataflow, tmp_path, "flex-template", "run", "nightly", *flags)
    assert done.returncode == 0, done.stderr
    [launch] = dataflow.launches
    asked = launch["launchParameter"]
    assert asked["parameters"] == parameters
    assert asked["containerSpecGcsPath"] == f"gs://bucket/templates/{template}.json"
    metadata = json.loads((ROOT / "templates" / template / "metadata.json").read_text())
    taken = {parameter["name"] for parameter in metadata["parameters"]}
    assert parameters.keys() - taken == {"sdk_container_image"}  # the launcher's own


@GCLOUD
def test_gcloud_replaces_a_running_stream_and_drains_it(tmp_path):
    with FakeDataflow() as dataflow:
        flags = [f"--parameters={name}={value}" for name, value in STREAM.items()]
        flags += ["--template-file-gcs-location=gs://bucket/templates/stream_complete.json"]
        flags += ["--update", "--transform-name-mappings=Old=New"]
        flags += ["--additional-experiments=streaming_mode_at_least_once"]
        updated = gcloud(dataflow, tmp_path, "flex-template", "run", "answers", *flags)
        drained = gcloud(dataflow, tmp_path, "jobs", "drain", "job-1")
        cancelled = gcloud(dataflow, tmp_path, "jobs", "cancel", "job-1")
    assert updated.returncode == drained.returncode == cancelled.returncode == 0, drained.stderr
    [launch] = dataflow.launches
    assert launch["launchParameter"]["jobName"] == "answers"
    assert launch["launchParameter"]["update"] is True
    assert launch["launchParameter"]["transformNameMappings"] == {"Old": "New"}
    assert [(change["id"], change["requestedState"]) for change in dataflow.changes] == [
        ("job-1", "JOB_STATE_DRAINED"),
        ("job-1", "JOB_STATE_CANCELLED"),
    ]
