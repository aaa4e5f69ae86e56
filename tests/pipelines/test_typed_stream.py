"""The streaming program on a pseudo terminal: a person types prompts and leaves."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")
pytest.importorskip("rich")
pytest.importorskip("prompt_toolkit")

ROOT = Path(__file__).parents[2]
SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
LEFT, UP, ENTER, CTRL_C, CTRL_D = "\x1b[D", "\x1b[A", "\r", "\x03", "\x04"


class Person:
    """Someone at a terminal of `columns` in which the streaming program runs."""

    def __init__(self, server, columns):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environ = {**os.environ, "OPENAI_API_KEY": "k", "TERM": "xterm", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "pipelines.stream_complete", "--source", "stdin"]
        self.before = termios.tcgetattr(theirs)
        self.program = subprocess.Popen(
            [*command, "--model", "openai/m"],
            env={**environ, "OPENAI_BASE_URL": server.base_url},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.ours, self.theirs, self.seen = ours, theirs, ""

    def sees(self, text, seconds=60):
        """Return whether `text` appears on the terminal in time."""
        until = time.monotonic() + seconds
        while text not in SEQUENCE.sub("", self.seen):
            if time.monotonic() > until:
                return False
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 65536).decode(errors="replace")
        return True

    def types(self, keys):
        """Press `keys`."""
        os.write(self.ours, keys.encode())

    def status(self):
        """Return the status of the program once it has ended; the terminal must not be full."""
        until = time.monotonic() + 60
        while self.program.poll() is None and time.monotonic() < until:
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 65536).decode(errors="replace")
        return self.program.wait(0)


@pytest.fixture
def person(fake_server, request):
    someone = Person(fake_server, request.param)
    yield someone
    if someone.program.poll() is None:
        someone.program.kill()
    someone.program.wait()
    os.close(someone.ours)
    os.close(someone.theirs)


@pytest.mark.parametrize("person", [80, 120], indirect=True)
@pytest.mark.parametrize("leave", [CTRL_D, CTRL_C], ids=["Ctrl-D", "Ctrl-C"])
def test_a_person_types_edits_repeats_and_leaves(fake_server, person, leave):
    assert person.sees("Type a prompt and press Enter to send it")
    assert person.sees("> ")
    person.types(f"helo 日本{LEFT * 4}l{ENTER}")
    assert person.sees("hello 日本\r\nhello 日本\r\n"), "the prompt, and its echo as the answer"
    person.types(f"{UP}")
    assert person.sees("> hello 日本")
    person.types(f" again{ENTER}")
    assert person.sees("hello 日本 again\r\nhello 日本 again\r\n")
    person.types(leave)
    assert person.status() == 0
    sent = [request.json["messages"][-1]["content"] for request in fake_server.requests]
    assert sent == ["hello 日本", "hello 日本 again"]
    assert termios.tcgetattr(person.theirs) == person.before
    assert "Traceback" not in person.seen
