"""A process that may open fewer files than its job needs sockets."""

from __future__ import annotations

import os
import subprocess
import sys

import orjson
import pytest
from batch_job import ROOT, Job

from transforms.worker.client.open_files import in_flight_within_limit

resource = pytest.importorskip("resource", reason="limits of descriptors are Unix's")


@pytest.fixture
def limited():
    """Return a function that sets the soft limit above what is open; the test's end restores it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(above):
        soft = max(int(name) for name in os.listdir("/dev/fd")) + above
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
        return soft

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_limit_that_is_high_enough_is_left_alone(limited, caplog):
    soft = limited(200)
    assert in_flight_within_limit(16) == 16
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft
    assert not caplog.records


def test_a_soft_limit_is_raised_as_far_as_needed(limited, caplog):
    limited(100)
    assert in_flight_within_limit(300) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 375
    assert not caplog.records


HARD = 120
PROGRAM = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({HARD}, {HARD}))
from pipelines.batch_complete import main
main(sys.argv[1:])
"""


def test_a_job_above_the_hard_limit_keeps_fewer_in_flight_and_completes_each_row(
    fake_server, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    job = Job(fake_server, tmp_path, None)
    job.write(*({"id": f"{n}", "prompt": f"row {n}"} for n in range(150)))
    argv = job.argv("in.jsonl", "--max_in_flight", "150")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert f"this process may open {HARD} files, too few for 150 requests" in done.stderr
    assert "ulimit -Hn" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(job.rows("completions")) == 150
    assert orjson.loads((job.out / "report.json").read_bytes())["attempts"] == 150
