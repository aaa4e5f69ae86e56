"""The line that shows what pip does while `make demo` installs."""

from __future__ import annotations

import io
import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "install_progress.py"
SAID = """\
Obtaining file:///x
Collecting httpx<0.29,>=0.27 (from ritellm-beam==0.1.0)
  Downloading httpx-0.28.1-py3-none-any.whl (73 kB)
Installing collected packages: httpx
"""
DONE = f"{SAID}Successfully installed httpx-0.28.1\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(text):
    command = [sys.executable, str(SCRIPT)]
    return subprocess.run(command, input=text, capture_output=True, text=True)


def test_a_terminal_shows_one_line_that_is_cleared_at_the_end():
    out = Terminal()
    runpy.run_path(str(SCRIPT))["show"](DONE.splitlines(True), out)
    assert out.getvalue().split("\r\x1b[K") == [
        "",
        "  1 packages: collecting httpx<0.29,>=0.27",
        "  1 packages: downloading httpx-0.28.1-py3-none-any.whl (73 kB)",
        "  1 packages: installing",
        "",
    ]


def test_another_output_stays_empty_when_pip_is_done():
    done = run(DONE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_when_pip_fails_its_last_lines_follow():
    failed = run(f"{SAID}ERROR: No matching distribution found for httpx\n")
    assert failed.returncode == 1
    assert failed.stderr.endswith("ERROR: No matching distribution found for httpx\n")
