"""Deltas on standard output: raw bytes for a pipe, safe text for a terminal."""

from __future__ import annotations

import io
import os
import sys

import pytest

from pipelines.errors import ReaderLeft
from pipelines.outputs.live import Stdout
from transforms.elements import DeadLetter

HOSTILE = "\u202eevil\x9b2J\x1b]52;c;aGk=\x07"
FAILED = DeadLetter(
    id=HOSTILE,
    request="",
    error_type="RowError",
    message=HOSTILE,
    status_code=None,
    retryable=False,
    attempts=0,
    partial_text="",
    input="{}",
)


class Out(io.TextIOWrapper):
    def __init__(self, is_terminal):
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_only_a_terminal_gets_text_without_control_characters(is_terminal, monkeypatch):
    out = Out(is_terminal)
    monkeypatch.setattr(sys, "stdout", out)
    Stdout().publish([FAILED])
    printed = out.buffer.getvalue().decode()
    assert printed.endswith("}\n")
    assert "\x1b" not in printed
    for char in "\u202e\x9b":
        assert (char in printed) is not is_terminal


def test_a_reader_that_has_left_is_an_error_of_its_own(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(os.dup(writing), "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(ReaderLeft):
            Stdout().publish([FAILED])
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    os.close(writing)
