"""The line that shows what pip or uv does while `make demo` installs."""

from __future__ import annotations

import io
import runpy
from pathlib import Path

import pytest

PROGRESS = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "install_progress.py"))
PIP = """\
Obtaining file:///x
Collecting httpx<0.29,>=0.27 (from ritellm-beam==0.1.0)
  Downloading httpx-0.28.1-py3-none-any.whl (73 kB)
Installing collected packages: httpx
Successfully installed httpx-0.28.1
"""
UV = """\
Using Python 3.11.7 environment at: .venv
Resolved 52 packages in 3.39s
Downloading pyarrow (47.7MiB)
Downloading numpy (16.1MiB)
 Downloaded numpy
 Downloaded pyarrow
Prepared 52 packages in 7.59s
Installed 52 packages in 111ms
 + numpy==2.4.6
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(said, steps, out):
    last = PROGRESS["show"](said.splitlines(True), PROGRESS[steps](), out)
    return out.getvalue().split("\r\x1b[K"), last


def test_a_terminal_shows_one_line_of_pip_that_is_cleared_at_the_end():
    assert shown(PIP, "PipSteps", Terminal())[0] == [
        "",
        "  1 packages: collecting httpx<0.29,>=0.27",
        "  1 packages: downloading httpx-0.28.1-py3-none-any.whl (73 kB)",
        "  1 packages: installing",
        "",
    ]


def test_a_terminal_shows_what_uv_downloads_at_this_moment():
    assert shown(UV, "UvSteps", Terminal())[0] == [
        "",
        "  52 packages: downloading",
        "  52 packages: downloading pyarrow (47.7MiB)",
        "  52 packages: downloading pyarrow (47.7MiB), numpy (16.1MiB)",
        "  52 packages: downloading pyarrow (47.7MiB)",
        "  52 packages: downloading",
        "  52 packages: installing",
        "",
    ]


def test_a_line_is_never_longer_than_a_terminal_of_80_columns():
    said = "".join(f"Downloading package-number-{n} (47.7MiB)\n" for n in range(9))
    lines, _ = shown(said, "UvSteps", Terminal())
    assert max(map(len, lines)) == 78


@pytest.mark.parametrize(("said", "steps"), [(PIP, "PipSteps"), (UV, "UvSteps")])
def test_another_output_stays_empty_and_the_last_lines_are_kept(said, steps):
    lines, last = shown(said, steps, io.StringIO())
    assert lines == [""]
    assert "".join(last) == said
