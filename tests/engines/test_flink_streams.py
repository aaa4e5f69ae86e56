"""`stream_complete` on a Flink cluster whose workers are processes of their own: Kafka to Redis.

Whoever dies, a reader of the deltas has each answer whole, and no more is paid for twice than was
in flight.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import closing
from uuid import uuid4

import pytest
from conftest import ROOT
from fake_server import FakeServer, Wait, chat_events, stream
from loopback import Wire
from places import KafkaPlace, RedisPlace
from programs import until
from prompts import answers, prompts, whole

WORKER = {"OPENAI_API_KEY": "sk-worker"}
CHECKPOINTS = ["--checkpointing_interval=1000", "--turn_seconds=2"]
SECONDS = 180


class HeldAnswers(FakeServer):
    """Begins each answer, and holds it while `go` is not set."""

    def __init__(self):
        super().__init__(self._answer)
        self.go = threading.Event()

    def _answer(self, request):
        events = chat_events(request.json["messages"][-1]["content"])
        return stream(*events[:4], Wait(self.go), *events[4:])


@pytest.fixture
def server():
    with HeldAnswers() as held:
        yield held
        held.go.set()


@pytest.fixture
def wire(server):
    """The wire to the model server."""
    return Wire(server.port)


@pytest.fixture
def source(kafka):
    with closing(KafkaPlace(kafka, f"t{uuid4().hex}")) as place:
        yield place


@pytest.fixture
def deltas(redis_server):
    return RedisPlace(redis_server, f"t{uuid4().hex}")


@pytest.fixture
def start(flink, processes, wire, tmp_path):
    """Return a function that starts the program, and returns how to look at its job on Flink."""

    def start(*flags):
        config = tmp_path / "kafka.properties"
        config.write_text("# who died is missed soon\nsession.timeout.ms=6000\n")
        program = [sys.executable, "-m", "pipelines.stream_complete", "--model=openai/m"]
        program += [f"--base_url=http://{wire.address}/v1", f"--kafka_config={config}"]
        before = {job["jid"] for job in flink.jobs()}
        environ = {"OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
        processes.start("stream", [*program, *flags], environ)

        def job():
            [found] = [job for job in flink.jobs() if job["jid"] not in before]
            return found

        return job

    return start


def told(deltas):
    return {delta["id"] for delta in deltas.received()["delta"]}


def test_deltas_go_live_from_workers_elsewhere_checkpoints_are_made_and_ctrl_c_ends_the_job_there(
    flink, processes, server, source, deltas, start
):
    flags = [*flink.flags_of_pool(WORKER), *CHECKPOINTS]
    job = start(f"--source={source.source}", f"--deltas_to={deltas.spec}", *flags)
    source.send(*prompts(50), b"nonsense")
    until(lambda: told(deltas) == answers(50).keys(), SECONDS)
    assert server.open_streams == 50
    server.go.set()
    until(lambda: whole(deltas) == answers(50) and source.settled() == 51, SECONDS)
    assert [row["error_type"] for row in deltas.received()["failed"]] == ["RowError"]

    def made():
        return flink.ask(f"/jobs/{job()['jid']}/checkpoints")["counts"]["completed"]

    first = made()
    source.send(*prompts(50, start=50))
    until(lambda: whole(deltas) == answers(100) and made() >= first + 2, SECONDS)
    server.go.clear()
    source.send(*prompts(10, start=100))
    until(lambda: server.open_streams == 10, SECONDS)
    processes.kill("stream", signal.SIGINT)
    assert processes.wait("stream", 30) == 130, processes.tail("stream")
    assert "the job is cancelled where it ran" in processes.tail("stream")
    until(lambda: job()["state"] == "CANCELED", 20)
    until(lambda: server.open_streams == 0, 20)
    assert len(server.requests) == 110


def test_who_dies_with_50_streams_open_costs_no_answer(
    flink, server, wire, source, deltas, start, redis_server
):
    """A task manager, then a Python worker, then the model server, as its connections show it."""
    flags = [*flink.flags_of_pool(WORKER), *CHECKPOINTS, f"--journal={redis_server.url}"]
    start(f"--source={source.source}", f"--deltas_to={deltas.spec}", *flags)
    deaths = [
        lambda: flink.kill("taskmanager-1"),
        lambda: os.kill(flink.workers()[0], signal.SIGKILL),
        lambda: (wire.cut(), wire.join()),
    ]
    for number, die in enumerate(deaths):
        server.go.clear()
        source.send(*prompts(50, start=50 * number))
        until(lambda: server.open_streams >= 50, SECONDS)
        die()
        if number == 0:
            flink.start("taskmanager-1")
        server.go.set()
        expected = answers(50 * number + 50)
        until(lambda expected=expected: whole(deltas) == expected, SECONDS)
        until(lambda number=number: source.settled() == 50 * number + 50, SECONDS)
        assert len(server.requests) <= 100 * (number + 1)
    assert deltas.received()["failed"] == []


def test_a_folder_is_read_by_the_programs_own_threads_and_sigterm_drains(
    flink, processes, server, start, tmp_path
):
    out, files = tmp_path / "out", tmp_path / "prompts"
    files.mkdir()
    flags = [f"--source=dir:{files}", f"--deltas_to=jsonl:{out}", *flink.flags()]
    job = start(*flags)
    (files / "rows.jsonl").write_bytes(b"\n".join(prompts(20)))
    until(lambda: server.open_streams == 20, SECONDS)
    processes.kill("stream", signal.SIGTERM)
    server.go.set()
    assert processes.wait("stream", 60) == 0, processes.tail("stream")
    assert (files / "done" / "rows.jsonl").exists()
    assert job()["state"] == "FINISHED"
    assert len(server.requests) == 20
