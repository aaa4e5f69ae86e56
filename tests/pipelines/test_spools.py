"""Temporary folders with rows in them: readable for their owner only, and never left for good."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from batch_job import ROOT, Job

from pipelines.spools import Spool, remove_left_behind

pytest.importorskip("fcntl", reason="locks of files are Unix's")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


KILLED = """
import os, signal, sys, tempfile
from pipelines.spools import Spool
tempfile.tempdir = sys.argv[1]
with open(Spool().file("lines.sqlite"), "w") as file:
    file.write("a prompt")
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(temporary):
    """Let a process with a spool be killed; return the folder that it leaves."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(temporary)], cwd=ROOT)
    assert done.returncode == -9
    (left,) = temporary.glob("ritellm-order-*")
    assert (left / "lines.sqlite").read_text() == "a prompt"
    return left


def test_the_spool_of_a_killed_process_is_deleted_at_the_next_start(temporary):
    left = killed(temporary)
    assert remove_left_behind() == [str(left)]
    assert list(temporary.iterdir()) == []


def test_the_spool_of_a_living_process_stays(temporary):
    spool = Spool()
    other = "from pipelines.spools import remove_left_behind; print(remove_left_behind())"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    told = subprocess.check_output([sys.executable, "-c", other], cwd=ROOT, env=environment)
    assert told.split() == [b"[]"]
    assert spool.folder.exists()
    spool.remove()
    assert list(temporary.iterdir()) == []


def test_folders_of_others_stay(temporary):
    theirs = temporary / "theirs"
    theirs.mkdir()
    (theirs / "lock").touch()
    (temporary / "ritellm-order-link").symlink_to(theirs)
    (temporary / "ritellm-order-file").touch()
    (temporary / "ritellm-order-nolock").mkdir()
    assert remove_left_behind() == []
    assert len(list(temporary.iterdir())) == 4
    assert (theirs / "lock").exists()


def test_only_its_owner_may_read_a_spool():
    before = os.umask(0)
    try:
        spool = Spool()
        path = Path(spool.file("lines.sqlite"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spool.remove()


def test_a_job_deletes_the_spools_left_behind(fake_server, temporary, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    left = killed(temporary)
    job = Job(fake_server, temporary, capsys).write({"prompt": "one"}, {"prompt": "two"})
    assert job.run("--keep_order") == 0
    assert not left.exists()
