"""The programs on a Flink cluster: a job manager and two task managers, in processes of their own.

Whoever dies, each prompt comes out once, and no more is paid for twice than was in flight.
"""

from __future__ import annotations

import os
import signal

RETRYING = ["--number_of_execution_retries=20", "--execution_retry_delay=1000"]
WORKER = {"OPENAI_API_KEY": "sk-worker"}


def test_a_batch_runs_on_flink_in_the_programs_own_threads(flink, job):
    assert job.start(60, *flink.flags(), "--emit_deltas").wait() == 0, job.said[-3000:]
    job.assert_whole()
    assert "61 rows: 60 completed, 1 failed" in job.said
    rebuilt = {}
    for delta in sorted(job.lines("deltas"), key=lambda delta: delta["seq"]):
        rebuilt[delta["id"]] = rebuilt.get(delta["id"], "") + delta["text"]
    assert rebuilt == {f"r{n}": f"one two {n}" for n in range(60)}


def test_a_task_manager_dies_with_50_streams_open(flink, held, tmp_path):
    flags = [*flink.flags_of_pool(WORKER), *RETRYING, f"--journal={tmp_path}/journal"]
    held.start(200, *flags, "--max_in_flight=30")
    held.server.wait_until(lambda: held.server.open_streams >= 50, 90)
    flink.kill("taskmanager-1")
    flink.start("taskmanager-1")
    held.server.go.set()
    assert held.wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert len(held.server.requests) <= 200 + 60


def test_a_python_worker_dies_with_50_streams_open(flink, held):
    held.start(200, *flink.flags_of_pool(WORKER), *RETRYING, "--max_in_flight=30")
    held.server.wait_until(lambda: held.server.open_streams >= 50, 90)
    os.kill(flink.workers()[0], signal.SIGKILL)
    held.server.go.set()
    assert held.wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert len(held.server.requests) <= 200 + 60
