"""The last line of a program that Ctrl-C ends."""

from __future__ import annotations

import os
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


HOSTILE = """
import threading
from pipelines.shutdown import run_program

def work():
    raise ValueError("\\x1b]0;title\\x07 \\x9b2J")

def run():
    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()
    return 0

run_program("job", run, lambda: "")
"""


def test_the_traceback_of_a_thread_cannot_control_the_terminal():
    command = [sys.executable, "-c", HOSTILE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "Exception in thread worker:" in done.stderr
    assert "ValueError: \u241b]0;title\u2407 \ufffd2J" in done.stderr
    assert not set(done.stderr) & set("\x1b\x07\x9b")
    assert done.returncode == 0


WARNING = """
import logging, sys
from pipelines.shutdown import run_program

def run():
    sys.stderr.write("3 of 20 rows")
    sys.stderr.flush()
    logging.getLogger("job").warning("umlaut.csv must be UTF-8")
    return 0

run_program("job", run, lambda: "nothing")
"""


def test_a_warning_takes_the_place_of_the_progress_line_on_a_terminal():
    leader, follower = os.openpty()
    command = [sys.executable, "-c", WARNING]
    subprocess.run(command, cwd=ROOT, stderr=follower, check=True, timeout=120)
    os.close(follower)
    assert os.read(leader, 1000) == b"3 of 20 rows\r\x1b[KWARNING: umlaut.csv must be UTF-8\r\n"
    os.close(leader)


def test_a_warning_in_a_file_has_no_control_sequence():
    command = [sys.executable, "-c", WARNING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == "3 of 20 rowsWARNING: umlaut.csv must be UTF-8\n"
