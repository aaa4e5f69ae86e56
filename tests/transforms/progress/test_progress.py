"""What the progress line says of a job, and how often."""

from __future__ import annotations

import io

import pytest

from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.jsonl import JsonLines
from transforms.metrics import TALLY, Tally, tally_unusable
from transforms.progress.line import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(total, tally, *times, out=None):
    """Return the line of a job that begins at the first of `times` and is read at the others."""
    clock = iter(times)
    return ProgressLine(
        total, out or io.StringIO(), tally, clock=lambda: next(clock), plain_every=3600
    )


def test_a_terminal_has_one_line_and_another_output_a_line_every_30_seconds():
    assert ProgressLine(1, io.StringIO()).seconds_between == 30
    assert ProgressLine(1, Terminal()).seconds_between < 1
    out = Terminal()
    with progress(4, Tally(completions=1), *range(9), out=out) as line:
        line._tally.completions = 5
    assert out.getvalue().endswith("████ 4 of 4 rows · 0 tokens · 0.0 tokens/s\n")
    assert out.getvalue().count("\n") == 1


def test_a_notebook_has_one_line_without_control_sequences():
    out = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    with progress(4, Tally(completions=1), *range(99), out=out) as line:
        line._draw()
        line._tally.completions = 5
    *_, before, last = out.getvalue().split("\r")
    assert "\x1b" not in out.getvalue()
    assert last.rstrip().endswith("4 of 4 rows · 0 tokens · 0.0 tokens/s")
    assert len(last.rstrip("\n")) >= len(before), "the rest of a longer line is overwritten"


def test_the_time_left_follows_from_the_rows_that_this_run_sends():
    tally = Tally()
    with progress(100, tally, 0.0, 5.0, 10.0) as line:
        tally.completions = tally.replayed = 50
        assert line.text().endswith(
            "50 of 100 rows · 50 from the journal · 0 tokens · 0.0 tokens/s"
        )
        tally.completions = 60
        assert line.text().endswith(" · 20 s left")  # 10 rows in 5 s, 40 to go


def test_rows_that_were_never_sent_are_done_and_do_not_shorten_the_time_left():
    tally = Tally()
    with progress(100, tally, 0.0, 10.0) as line:
        tally.completions, tally.dead_letters, tally.unsent = 10, 40, 40
        shown = line.text()
    assert "50 of 100 rows, 40 failed" in shown
    assert shown.endswith(" · 50 s left")


def test_a_line_counts_nothing_of_an_earlier_job_of_the_process():
    tally = Tally(completions=9, dead_letters=3, replayed=4, retries=7, completion_tokens=80)
    with progress(None, tally, 0.0, 1.0) as line:
        assert line.text() == "0 rows · 0 tokens · 0.0 tokens/s"


def test_a_row_that_is_no_prompt_is_a_failed_row():
    before = TALLY.dead_letters, TALLY.unsent
    tally_unusable()
    assert (TALLY.dead_letters, TALLY.unsent) == (before[0] + 1, before[1] + 1)


TEXTS = {
    b"": 0,
    b"\n\n": 0,
    b'{"prompt": 1}': 1,
    b'{"prompt": 1}\n': 1,
    b'\n{"prompt": 1}\n\n\n{"prompt": 2}': 2,
    b'{"prompt": 1}\r\n\r\n \t\r\n{"prompt": 2}\r\n': 2,
    b'{"prompt": "%s"}\n\n' % (b"x" * (1 << 20)) * 3: 3,
    b" " * (3 << 20) + b"\n" + b'{"prompt": 1}': 1,
    b"\n" * (2 << 20) + b'{"prompt": 1}\n' * 70_000: 70_000,
}


@pytest.mark.parametrize(("text", "rows"), TEXTS.items(), ids=map(str, range(len(TEXTS))))
def test_the_total_is_the_number_of_rows_without_blank_lines(tmp_path, text, rows):
    path = str(tmp_path / "in.jsonl")
    (tmp_path / "in.jsonl").write_bytes(text)
    read = list(JsonLines().rows(DataFile(path, path, path), InputOptions(), None))
    assert JsonLines().count(path) == len(read) == rows
