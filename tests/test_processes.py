"""`examples.runners.processes` ends all processes that it started, on any signal."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from started_programs import started

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 20

PROGRAM = """
import sys
from pathlib import Path
from examples.runners.processes import Processes, end_once, run

end_once()
logs, name = sys.argv[1:]
deaf = f"(trap '' INT TERM; exec sleep 600 {name}) & wait"
slow = f"trap 'sleep 0.3; exit' INT TERM; sleep 600 {name} & wait"
with Processes(Path(logs)) as processes:
    processes.start("deaf", ["sh", "-c", deaf])
    processes.start("slow", ["sh", "-c", slow])
    run(["sh", "-c", slow])
"""


@pytest.fixture
def name():
    """A word that is in the command of each process of this test: no time at all to `sleep`."""
    return f"0.{uuid4().int}"


def called(name):
    """Return the ids of the processes that have `name` in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # it is gone
            continue
        if name.encode() in words:
            found.append(int(path.parent.name))
    return found


def in_time(condition):
    """Return as soon as `condition()` holds."""
    patience = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_that_was_started_and_a_second_one_does_not_disturb(
    tmp_path, name, number
):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), name]
    with started(command, cwd=ROOT) as program:
        try:
            in_time(lambda: len(called(name)) == 7)
            program.send_signal(number)
            in_time(lambda: len(called(name)) < 7)
            program.send_signal(number)
            assert program.wait(SECONDS) == 128 + number
            assert called(name) == []
        finally:
            for left in called(name):
                os.kill(left, signal.SIGKILL)
