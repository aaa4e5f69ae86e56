"""Programs on terminals and in files that are not UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TEXT = "█░ 日本 · é … 👍 ё e\u0301 \x1b[0m"
CODE = f"""
import sys
from ritellm.cli.encodings import tolerate
tolerate()
tolerate()
print({TEXT!a})
print({TEXT!a}, file=sys.stderr)
"""


def run(encoding, stdout=subprocess.PIPE):
    environ = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environ, stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_in_ascii_gets_escapes_that_lose_nothing():
    escaped = r"#. \u65e5\u672c | \xe9 ~ \U0001f44d \u0451 e\u0301" + " \x1b[0m\n"
    assert run("ascii").decode("ascii") == escaped


def test_a_file_in_latin_1_keeps_what_latin_1_has():
    assert b"\xe9" in run("latin-1")
    assert rb"\u65e5" in run("latin-1")


def test_a_file_in_utf_8_has_the_text_itself():
    assert run("utf-8").decode() == TEXT + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_terminal_gets_a_likeness_of_the_same_width(encoding):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    run(encoding, stdout=theirs)
    shown = os.read(ours, 4096).decode(encoding)
    os.close(ours)
    os.close(theirs)
    assert "????" in shown, "two wide characters take four cells"
    assert shown.replace("\r\n", "").endswith("e \x1b[0m"), "a combining mark takes none"
    if encoding == "ascii":
        assert shown.startswith("#. ???? | e ~ ?? ")
