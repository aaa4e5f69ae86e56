"""Jobs on Beam's job server in Python; their code in this process, or in those of a worker pool."""

from __future__ import annotations

import os
import signal
from functools import partial

from conftest import (
    assert_a_model_server_may_die,
    assert_a_stream_survives_its_worker,
    assert_ctrl_c_keeps_what_was_paid_for,
    assert_live,
    assert_turns,
    assert_windowed_and_counted,
)

from examples.runners.processes import free_port, listens, start_pool


def test_a_batch_runs_through_a_job_server_in_the_programs_own_threads(job_server, job):
    assert job.start(60, *job_server, "--environment_type=LOOPBACK").wait() == 0, job.said
    job.assert_whole()
    assert "61 rows: 60 completed" in job.said


def test_a_batch_runs_in_a_worker_of_its_own_that_has_the_key(job_server, pool, job, fake_server):
    assert job.start(60, *job_server, *pool).wait() == 0, job.said
    job.assert_whole()
    keys = {request.headers["authorization"] for request in fake_server.requests}
    assert keys == {"Bearer sk-worker"}


def test_a_worker_that_dies_here_ends_the_job_and_the_same_command_goes_on(
    job_server, pool, processes, held
):
    """This job server tries nothing again: the journal keeps what was paid for."""
    held.start(100, *job_server, *pool, "--max_in_flight=50")
    held.server.wait_until(lambda: held.server.open_streams == 50, 60)
    assert processes.children("workers")
    for worker in processes.children("workers"):
        os.kill(worker, signal.SIGKILL)
    held.server.go.set()
    assert held.wait() == 1, held.said
    assert held.start(100, *job_server, *pool).wait() == 0, held.said
    held.assert_whole()
    assert len(held.server.requests) <= 100 + 50


def test_ctrl_c_ends_the_job_and_what_was_paid_for_is_kept(job_server, held):
    """In a worker pool it would go on: this job server does not tell its workers."""
    assert_ctrl_c_keeps_what_was_paid_for(held, *job_server, "--environment_type=LOOPBACK")


def test_the_model_server_dies_and_comes_back(job_server, pool, models, tmp_path):
    assert_a_model_server_may_die(models, tmp_path, *job_server, *pool, "--max_in_flight=50")


BARE = """
import sys
class Without:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("ritellm", "transforms", "pipelines"):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Without)
"""


def test_code_that_the_workers_do_not_have_is_one_sentence(
    job_server, processes, job, fake_server, tmp_path
):
    port = free_port()
    (tmp_path / "sitecustomize.py").write_text(BARE)  # a Python without this package
    bare = {"PYTHONPATH": str(tmp_path)}
    start_pool(processes, "bare", port, bare, ["env", "-C", str(tmp_path)])
    processes.wait_until(lambda: listens("127.0.0.1", port), "bare")
    pool = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
    assert job.start(3, *job_server, *pool).wait() == 1
    assert "on the workers; install ritellm-beam" in job.said.splitlines()[-1]
    assert not fake_server.requests


def test_deltas_go_out_live(job_server, held, processes):
    assert_live(held, processes, *job_server, "--environment_type=LOOPBACK")


def test_workers_elsewhere_read_by_turns_from_kafka_to_kafka(
    job_server, pool, from_kafka_to_kafka, source, deltas_in_kafka, models, processes
):
    """This job server does not notice that the worker of a stream is gone: Ctrl-C ends the job."""

    def ended():
        processes.kill("stream", signal.SIGINT)
        assert processes.wait("stream", 60) == 130, processes.tail("stream")

    start = partial(from_kafka_to_kafka, *job_server, *pool)
    assert_turns(start, source, deltas_in_kafka, models)
    assert_a_stream_survives_its_worker(start, source, deltas_in_kafka, models, processes, ended)


def test_windows_and_metrics(job_server, fake_server, tmp_path):
    assert_windowed_and_counted(fake_server, tmp_path, *job_server, "--environment_type=LOOPBACK")
