"""`stream_complete` on a Flink cluster whose workers are processes of their own, from Kafka.

Whichever process dies, a reader of the deltas gets each completion in full, and only requests in
flight are sent twice.
"""

from __future__ import annotations

import os
import signal

import pytest
from conftest import told
from programs import until
from prompts import answers, prompts, whole

WORKER = {"OPENAI_API_KEY": "sk-worker"}
CHECKPOINTS = ["--checkpointing_interval=1000", "--turn_seconds=2"]
SECONDS = 180


@pytest.fixture
def start(flink, streaming):
    """Return a function that starts the program, and returns how to look at its job on Flink."""

    def start(*flags):
        before = {job["jid"] for job in flink.jobs()}
        streaming(*flags)

        def job():
            [found] = [job for job in flink.jobs() if job["jid"] not in before]
            return found

        return job

    return start


def test_deltas_go_live_from_workers_elsewhere_checkpoints_are_made_and_ctrl_c_ends_the_job_there(
    flink, processes, models, source, deltas_in_redis, start
):
    deltas = deltas_in_redis
    flags = [*flink.flags_of_pool(WORKER), *CHECKPOINTS]
    job = start(f"--source={source.source}", f"--deltas_to={deltas.spec}", *flags)
    source.send(*prompts(50), b"nonsense")
    until(lambda: told(deltas) == answers(50).keys(), SECONDS)
    assert models.open == 50
    models.go()
    until(lambda: whole(deltas) == answers(50) and source.settled() == 51, SECONDS)
    assert [row["error_type"] for row in deltas.received()["failed"]] == ["RowError"]

    def made():
        return flink.get(f"/jobs/{job()['jid']}/checkpoints")["counts"]["completed"]

    first = made()
    source.send(*prompts(50, start=50))
    until(lambda: whole(deltas) == answers(100) and made() >= first + 2, SECONDS)
    models.hold()
    source.send(*prompts(10, start=100))
    until(lambda: models.open == 10, SECONDS)
    processes.kill("stream", signal.SIGINT)
    assert processes.wait("stream", 30) == 130, processes.tail("stream")
    assert "the job is cancelled on the cluster" in processes.tail("stream")
    until(lambda: job()["state"] == "CANCELED", 20)
    until(lambda: models.open == 0, 20)
    assert len(models.asked) == 110


def test_who_dies_with_50_streams_open_costs_no_answer(
    flink, models, source, deltas_in_kafka, start, redis_server
):
    """A task manager, then a Python worker, then the model server; each comes back."""
    flags = [*flink.flags_of_pool(WORKER), *CHECKPOINTS, f"--journal={redis_server.url}"]
    start(f"--source={source.source}", f"--deltas_to={deltas_in_kafka.spec}", *flags)
    deaths = [
        lambda: (flink.kill("taskmanager-1"), flink.start("taskmanager-1")),
        lambda: os.kill(flink.workers()[0], signal.SIGKILL),
        lambda: models.restart(),
    ]
    for number, die in enumerate(deaths):
        models.hold()
        source.send(*prompts(50, start=50 * number))
        until(lambda: models.open >= 50, SECONDS)
        die()
        models.go()
        expected = answers(50 * number + 50)
        until(lambda expected=expected: whole(deltas_in_kafka) == expected, SECONDS)
        until(lambda number=number: source.settled() == 50 * number + 50, SECONDS)
        assert len(models.asked) <= 100 * (number + 1)
    assert deltas_in_kafka.received()["failed"] == []


def test_a_folder_is_read_by_the_programs_own_threads_and_sigterm_drains(
    flink, processes, models, start, tmp_path
):
    out, files = tmp_path / "out", tmp_path / "prompts"
    files.mkdir()
    flags = [f"--source=dir:{files}", f"--deltas_to=jsonl:{out}", *flink.flags()]
    job = start(*flags)
    (files / "rows.jsonl").write_bytes(b"\n".join(prompts(20)))
    until(lambda: models.open == 20, SECONDS)
    processes.kill("stream", signal.SIGTERM)
    models.go()
    assert processes.wait("stream", 60) == 0, processes.tail("stream")
    assert (files / "done" / "rows.jsonl").exists()
    assert job()["state"] == "FINISHED"
    assert len(models.asked) == 20
