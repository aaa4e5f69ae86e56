"""What a reader of the output folder sees of a job on Prism: whole shards, each row once."""

from __future__ import annotations

import os
import signal
from collections import Counter

import orjson
from programs import until

from pipelines.outputs.shards.manifest import runs


def readable(out, kind="completions"):
    """Return the ids in the listed shards of the newest run, each of which must be whole."""
    found = runs(str(out))
    lines = []
    for shard in found[0].of(kind) if found else ():
        data = (out / shard.name).read_bytes()
        assert (data.count(b"\n"), len(data)) == (shard.rows, shard.bytes)
        lines += data.splitlines()
    return Counter(orjson.loads(line)["id"] for line in lines)


def once(ids):
    return Counter(dict.fromkeys(ids, 1))


def test_rows_are_readable_while_the_job_runs_in_threads_of_the_program(prism, held):
    """Prism ends a job of which a bundle fails, so a shard need not wait for its bundle."""
    held.start(100, *prism, "--shard_seconds=1", "--max_in_flight=50")
    until(lambda: len(readable(held.out)) == 40, 90)
    assert held.server.open_streams > 0
    assert not (held.out / "_SUCCESS").exists()
    held.server.go.set()
    assert held.wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert readable(held.out) == once(f"r{n}" for n in range(100))


def test_rows_are_readable_while_the_job_runs_in_processes_elsewhere(prism, pool, held):
    held.start(100, *prism, *pool, "--shard_seconds=1", "--max_in_flight=50")
    until(lambda: len(readable(held.out)) == 40, 90)
    assert held.server.open_streams > 0
    assert not (held.out / "_SUCCESS").exists()
    held.server.go.set()
    assert held.wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert readable(held.out) == once(f"r{n}" for n in range(100))
    assert not (held.out / "_unfinished").exists()


def test_a_worker_that_dies_ends_the_job_and_the_same_command_leaves_each_row_once(
    prism, pool, held, processes, tmp_path
):
    flags = [*prism, *pool, "--max_in_flight=50", f"--journal={tmp_path}/journal"]
    held.start(60, *flags)
    held.server.wait_until(lambda: held.server.open_streams == 20, 90)
    for worker in processes.children("workers"):
        os.kill(worker, signal.SIGKILL)
    assert held.wait(90) != 0, held.said
    assert not [id for id, count in readable(held.out).items() if count > 1]
    held.server.go.set()
    assert held.start(60, *flags).wait() == 0, held.said[-3000:]
    held.assert_whole()
    assert readable(held.out) == once(f"r{n}" for n in range(60))
    assert readable(held.out, "failed-rows").total() == 1
