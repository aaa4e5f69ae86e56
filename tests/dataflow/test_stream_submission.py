"""The stream job on its way to Dataflow, and what was staged between two topics of Pub/Sub."""

from __future__ import annotations

import subprocess
import threading
from types import SimpleNamespace
from uuid import uuid4

import orjson
import pubsub_emulator
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from fake_dataflow import FakeDataflow
from fake_server import FakeServer, Wait, chat_events, echo, stream
from prompts import answers, prompts, whole
from started_programs import started
from streaming_backends import PubSubPlace
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

from pipelines import stream_complete

ASKED = {
    "max_num_workers": 3,
    "worker_machine_type": "e2-standard-2",
    "number_of_worker_harness_threads": 20,
    "dataflow_service_options": "streaming_mode_at_least_once",
    "sdk_container_image": "europe-west4-docker.pkg.dev/my-project/jobs/stream_complete:1",
}


@pytest.fixture(scope="module")
def emulator():
    """The Pub/Sub emulator."""
    with pubsub_emulator.running() as server:
        yield server


class Topics:
    """What a job reads from, and what it publishes to."""

    def __init__(self):
        name = f"t{uuid4().hex}"
        self.prompts, self.deltas, self.answers = (
            PubSubPlace(f"{name}-{each}") for each in ("prompts", "deltas", "answers")
        )
        self.flags = {
            "source": self.prompts.source,
            "deltas_to": self.deltas.spec,
            "completions_to": self.answers.spec,
        }

    def close(self):
        for place in (self.prompts, self.deltas, self.answers):
            place.close()


@pytest.fixture(scope="module")
def topics(emulator):
    """Topics, with their subscriptions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", emulator.address)
        made = Topics()
        yield made
        made.close()


@pytest.fixture(scope="module")
def submitted(google, emulator, topics):
    """A job, submitted from the repository with --setup_file, as a person would."""
    with FakeServer() as models, FakeDataflow("JOB_STATE_RUNNING", "JOB_STATE_DRAINED") as dataflow:
        # FnApiRunner runs what is staged here. It has no timers in real time.
        ours = {**topics.flags, "base_url": models.base_url, "commit_every": 0, **ASKED}
        argv = submission("stream", ours, journal="gs://bucket/stream/journal")
        argv += [*to(dataflow), "--setup_file=./setup.py"]
        done = run(google, "submit", "pipelines.stream_complete", *argv, secret=SECRET)
        assert done.returncode == 0, done.said
        [job] = dataflow.jobs
        yield SimpleNamespace(job=job, said=done.said, models=models)


@pytest.fixture
def execute(google, emulator, submitted, tmp_path):
    """Return a function that runs what was staged on what is in the subscription."""

    def executes(**changes):
        return executed(google, "stream", tmp_path, **changes)

    return executes


def test_the_job_says_what_was_asked_of_dataflow(submitted):
    job = submitted.job
    environ, options = job["environment"], job["environment"]["sdkPipelineOptions"]["options"]
    assert job["type"] == "JOB_TYPE_STREAMING" or job["type"] == 2
    assert environ["version"]["job_type"] == "FNAPI_STREAMING"
    assert job["labels"] == {"team": "research"}
    assert environ["serviceOptions"] == ["streaming_mode_at_least_once"]
    assert {"use_runner_v2", "enable_streaming_engine"} <= set(environ["experiments"])
    assert options["streaming"] is True
    assert "replaceJobId" not in job
    [pool] = environ["workerPools"]
    assert pool["machineType"] == "e2-standard-2"
    assert pool["numThreadsPerWorker"] == 20
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 3
    assert pool["sdkHarnessContainerImages"][0]["containerImage"] == ASKED["sdk_container_image"]
    assert "workflow.tar.gz" in [package["name"] for package in pool["packages"]]


def test_dataflow_itself_reads_the_subscription_and_nothing_is_shuffled(submitted, google, topics):
    proto = beam_runner_api_pb2.Pipeline.FromString(pipeline_of(google, "stream"))
    steps = [each for each in proto.components.transforms.values() if not each.subtransforms]
    kinds = {step.unique_name: step.spec.urn for step in steps}
    assert kinds.pop("Receive/Read/Read") == "beam:transform:pubsub_read:v1"
    assert set(kinds.values()) == {"beam:transform:pardo:v1"}
    assert topics.flags["source"].removeprefix("pubsub:").encode() in pipeline_of(google, "stream")


def test_streams_are_committed_unless_it_is_turned_off(google, emulator, topics):
    with FakeDataflow("JOB_STATE_RUNNING", "JOB_STATE_DRAINED") as dataflow:
        argv = [*submission("committed", topics.flags), *to(dataflow)]
        done = run(google, "submit", "pipelines.stream_complete", *argv)
    assert done.returncode == 0, done.said
    proto = beam_runner_api_pb2.Pipeline.FromString(pipeline_of(google, "committed"))
    assert "beam:requirement:pardo:stateful:v1" in proto.requirements
    [payload] = [
        beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
        for step in proto.components.transforms.values()
        if step.unique_name == "CompletePrompts/Committed/Stream/ParDo(CommittedFn)"
    ]
    assert set(payload.state_specs) == {"shard", "prompts"}
    assert set(payload.timer_family_specs) == {"ts-commit", "ts-end"}


def test_a_drained_job_is_no_failure(submitted):
    assert "failed" not in submitted.said


def test_no_secret_is_in_the_job_nor_in_what_was_staged(submitted, google):
    texts = {"job": orjson.dumps(submitted.job), "said": submitted.said.encode()}
    for name, data in (texts | staged(google, "stream")).items():
        assert SECRET.encode() not in unpacked(data), name
    assert VERSION.encode() in unpacked(pipeline_of(google, "stream"))


def test_what_was_staged_answers_every_message_and_a_failed_bundle_loses_none(
    submitted, topics, execute
):
    topics.prompts.send(*prompts(5), b"nonsense")
    refused = execute(secret=None)
    assert refused.returncode != 0
    assert f"cannot read {VERSION}: 403 Permission denied on {VERSION}" in refused.said
    assert submitted.models.requests == []
    done = execute()
    assert done.returncode == 0, done.said
    assert whole(topics.deltas) == answers(5)
    outcomes = topics.answers.received()
    assert {row["id"]: row["text"] for row in outcomes["completion"]} == answers(5)
    assert [row["error_type"] for row in outcomes["failed"]] == ["RowError"]
    assert {r.headers["authorization"] for r in submitted.models.requests} == {f"Bearer {SECRET}"}
    assert SECRET not in done.said
    assert topics.prompts.settled()


def test_a_message_that_comes_again_is_not_paid_for_again(submitted, topics, execute):
    topics.prompts.send(*prompts(1, 20))
    assert execute().returncode == 0
    paid = len(submitted.models.requests)
    topics.prompts.send(*prompts(1, 20))
    done = execute()
    assert done.returncode == 0, done.said
    assert len(submitted.models.requests) == paid
    again = [row for row in topics.answers.received()["completion"] if row["id"] == "p20"]
    assert [row["text"] for row in again] == [answers(1, 20)["p20"]] * 2


def test_deltas_are_out_while_the_model_still_speaks(submitted, google, topics, tmp_path):
    go_on = threading.Event()

    def script(request):
        events = chat_events(request.json["messages"][-1]["content"])
        return stream(*events[:3], Wait(go_on), *events[3:])

    submitted.models.script = script
    topics.prompts.send(*prompts(1, 30))
    pipeline = tmp_path / "pipeline.pb"
    pipeline.write_bytes(pipeline_of(google, "stream"))
    command = [*WITHOUT_GOOGLE, "execute", str(pipeline)]
    environ = environment(google, secret=SECRET)
    with started(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as worker:
        try:
            wait_for(
                lambda: any(d["id"] == "p30" for d in topics.deltas.received()["delta"]), seconds=60
            )
            assert "p30" not in whole(topics.deltas)
        finally:
            go_on.set()
            submitted.models.script = echo
        assert worker.wait(60) == 0
    assert whole(topics.deltas)["p30"] == answers(1, 30)["p30"]


# --- What cannot work is said before anything is submitted ---------------------------------------

WRONG = {
    "no subscription": (
        {"source": "pubsub:projects/p/subscriptions/none"},
        "Subscription does not",
    ),
    "no topic": ({"deltas_to": "pubsub:projects/p/topics/none"}, "Topic not found"),
    "no version": (
        {"api_key_secret": f"{VERSION}00"},
        f"{VERSION}00 does not exist; check the name",
    ),
    "disabled version": (
        {"api_key_secret": VERSION.replace("/3", "/99")},
        "is disabled; enable it",
    ),
    "no bucket of the journal": (
        {"journal": "gs://no-such-bucket/j"},
        "cannot write to --journal gs://no-such-bucket/j",
    ),
    "no bucket to stage in": (
        {"staging_location": "gs://no-such-bucket/s"},
        "cannot write to --staging_location gs://no-such-bucket/s",
    ),
    "no number": ({"max_in_flight": "many"}, "must be a positive whole number, got 'many'"),
    "a file of one machine": ({"completions_to": "jsonl:out"}, "must be reachable"),
    "nothing to update": ({"update": ""}, "--update: no job 'wrong' runs in europe-west4"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_work_is_one_line_and_no_job(refused, topics, changes, words):
    with FakeDataflow() as dataflow:
        dataflow.running["job-0"] = "another"
        argv = [*submission("wrong", topics.flags, **changes), *to(dataflow)]
        argv = ["--update" if each == "--update=" else each for each in argv]
        status, said = refused(stream_complete.main, *argv)
    assert (status, dataflow.jobs) == (2, [])
    assert words in said


def test_a_running_job_is_replaced_by_its_name_and_the_command_ends_when_it_is(
    google, emulator, topics
):
    with FakeDataflow("JOB_STATE_RUNNING", "JOB_STATE_UPDATED") as dataflow:
        dataflow.running = {"job-0": "another", "job-7": "answers"}
        argv = [*submission("answers", topics.flags), *to(dataflow), "--update"]
        done = run(google, "submit", "pipelines.stream_complete", *argv)
    assert done.returncode == 0, done.said
    [job] = dataflow.jobs
    assert job["replaceJobId"] == "job-7"


def test_a_cancelled_job_is_a_failure_here(google, emulator, topics):
    with FakeDataflow("JOB_STATE_RUNNING", "JOB_STATE_CANCELLED") as dataflow:
        argv = [*submission("cancelled", topics.flags), *to(dataflow)]
        done = run(google, "submit", "pipelines.stream_complete", *argv)
    assert done.returncode == 1
    assert "CANCELLED" in done.stderr.strip().splitlines()[-1]
