"""The programs on a Flink cluster: a job manager and two task managers, in processes of their own.

Whichever process dies, each prompt comes out once, and only requests in flight are sent twice.
"""

from __future__ import annotations

import os
import signal

from conftest import (
    assert_a_model_server_may_die,
    assert_ctrl_c_keeps_what_was_paid_for,
    assert_live,
    assert_windowed_and_counted,
    texts,
)

WORKER = {"OPENAI_API_KEY": "sk-worker"}


def test_a_batch_runs_on_flink_in_the_programs_own_threads(flink, job):
    assert job.start(60, *flink.flags(), "--emit_deltas").wait() == 0, job.said[-3000:]
    job.assert_whole()
    assert texts(job, "deltas") == {f"r{n}": f"one two {n}" for n in range(60)}
    brought = [file.stat().st_size for file in flink.folder.rglob("blob_*")]
    assert sum(brought) < 1_000_000  # and not all of Beam's classes


def test_a_task_manager_dies_with_50_streams_open(flink, held, tmp_path):
    flags = [*flink.flags_of_pool(WORKER), f"--journal={tmp_path}/journal"]
    held.start(200, *flags, "--max_in_flight=30")
    held.server.wait_until(lambda: held.server.open_streams >= 50, 90)
    flink.kill("taskmanager-1")
    flink.start("taskmanager-1")
    held.server.go.set()
    assert held.wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert len(held.server.requests) <= 200 + 60


def test_a_python_worker_dies_with_50_streams_open(flink, held, redis_server):
    flags = [*flink.flags_of_pool(WORKER), f"--journal={redis_server.url}", "--emit_deltas"]
    held.start(200, *flags, "--max_in_flight=30")
    held.server.wait_until(lambda: held.server.open_streams >= 50, 90)
    os.kill(flink.workers()[0], signal.SIGKILL)
    held.server.go.set()
    assert held.wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert len(held.server.requests) <= 200 + 60


def test_ctrl_c_ends_the_job_on_the_cluster_and_what_was_paid_for_is_kept(flink, held):
    assert_ctrl_c_keeps_what_was_paid_for(held, *flink.flags(parallelism=1))
    assert sorted(job["state"] for job in flink.jobs())[0] == "CANCELED"


def test_the_model_server_dies_with_50_streams_open_and_comes_back(flink, models, tmp_path):
    flags = [*flink.flags_of_pool(WORKER), "--max_in_flight=30"]
    assert_a_model_server_may_die(models, tmp_path, *flags, rows=200)


def test_deltas_go_out_live(flink, held, processes):
    assert_live(held, processes, *flink.flags(parallelism=1))


def test_windows_and_metrics(flink, fake_server, tmp_path):
    assert_windowed_and_counted(fake_server, tmp_path, *flink.flags())
