"""A disk that fills up during a job: the job says which one, and leaves nothing half written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from secrets import token_hex

import pytest
from batch_job import ROOT, Job
from fake_server import chat_stream
from small_disk import mounted

from transforms.disks import Disk, is_full

LONG = "x" * 100_000


@pytest.fixture
def job(fake_server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    fake_server.script = lambda request: chat_stream(LONG)
    return Job(fake_server, tmp_path, capsys).write(*({"prompt": f"row {n}"} for n in range(16)))


def last_line(job):
    assert "Traceback" not in job.printed.err
    return job.printed.err.strip().splitlines()[-1]


@pytest.mark.parametrize("flag", [(), ("--keep_order",)], ids=["any-order", "keep-order"])
def test_a_full_disk_of_the_output_stops_the_job_in_one_line(job, tmp_path, flag):
    journal = f"--journal=sqlite:{tmp_path}/journal.sqlite"
    with mounted(tmp_path / "out"):
        assert job.run(journal, *flag) == 1
        assert last_line(job).startswith(
            f"batch_complete: stopped: cannot write to {job.out}/completions"
        )
        assert "No space left on device): make room on its disk" in last_line(job)
        assert "the same command resumes from the journal" in last_line(job)
        assert {file.name for file in job.out.iterdir()} == {"_manifest"}
    requests = len(job.server.requests)
    assert job.run(journal, *flag) == 0
    assert len(job.rows("completions")) == 16
    assert len(job.server.requests) == requests


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_full_disk_stops_a_job_of_any_format_in_one_line(job, tmp_path, format):
    job.server.script = lambda request: chat_stream(token_hex(60_000))  # zstd halves it at most
    flags = (f"--journal=sqlite:{tmp_path}/journal.sqlite", f"--output_format={format}")
    with mounted(tmp_path / "out"):
        assert job.run(*flags) == 1
        assert "No space left on device): make room on its disk" in last_line(job)
        assert {file.name for file in job.out.iterdir()} == {"_manifest"}
    assert job.run(*flags) == 0
    (name,) = job.report["files"]
    assert name.endswith(f".{format}")
    assert job.report["completed"] == 16


def test_a_full_temporary_disk_stops_the_job_in_one_line(job, tmp_path, monkeypatch):
    with mounted(tmp_path / "tmp") as temporary, monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(temporary))
        assert job.run("--keep_order") == 1
    assert f"cannot write to the temporary folder {temporary}" in last_line(job)
    assert "set TMPDIR to a folder on a larger disk" in last_line(job)
    assert not list(job.out.glob("completions*"))


CLAIM_MANY = """
from transforms.prompts.seen_ids import SeenIds
ids = SeenIds()
for number in range(90_000):
    ids.claim(f"{number}", f"in.jsonl:{number}")
"""


def test_ids_that_do_not_fit_on_the_temporary_disk_are_explained(tmp_path):
    with mounted(tmp_path / "tmp") as temporary:
        # SQLite chooses its folder once in a process.
        environment = {**os.environ, "TMPDIR": str(temporary)}
        command = [sys.executable, "-c", CLAIM_MANY]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert f"DiskFull: cannot write to the temporary folder {temporary}" in done.stderr


def test_other_errors_are_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError), Disk("/out", "or wait"):
        (tmp_path / "missing").read_bytes()
    assert not is_full(FileNotFoundError(2, "No such file"))
