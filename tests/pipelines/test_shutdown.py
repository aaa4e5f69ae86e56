"""The last line of a program that Ctrl-C ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A thread of Beam still works while the interpreter ends, fails, and prints why.
PROGRAM = """
import signal, sys, threading
from pipelines.shutdown import run_program

def work():
    threading.main_thread().join()
    print("Traceback (most recent call last): ...", file=sys.stderr)

def run():
    threading.Thread(target=work).start()
    signal.raise_signal(signal.SIGINT)

run_program("job", run, lambda: "the same command resumes")
"""


def test_no_thread_prints_after_the_last_line_of_an_interrupted_job():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == "job: stopped; the same command resumes\n"
    assert done.returncode == 130
