"""What a person sees and types while several answers grow."""

from __future__ import annotations

import io
import os

import orjson
import pytest

from pipelines.terminal.keyboard import Keyboard, edited
from pipelines.terminal.live_view import LiveView
from transforms import DeadLetter, Delta, Prompt


def prompt(id, text):
    return Prompt(id, orjson.dumps({"messages": [{"role": "user", "content": text}]}).decode())


def delta(id, seq, text, attempt=1, final=False):
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    if final:
        chunk = {"choices": []}
    return Delta(id, attempt, seq, text, None, orjson.dumps(chunk).decode(), final)


@pytest.fixture
def out():
    return io.StringIO()


@pytest.fixture
def view(out):
    return LiveView(out, lambda: (60, 10))


def lines(view, width=60, height=10):
    return [
        line.replace("\x1b[2m", "").replace("\x1b[0m", "") for line in view.frame(width, height)
    ]


def test_answers_under_way_grow_side_by_side(view):
    view.asked(prompt("a", "First?"))
    view.asked(prompt("b", "Second?"))
    view.show([delta("a", 0, "one "), delta("b", 0, "uno "), delta("a", 1, "two")])
    first, second = lines(view)
    assert first.startswith("First?")
    assert first.endswith("one two")
    assert second.endswith("uno")


def test_a_whole_answer_is_printed_in_full_and_leaves_the_rows_below(view, out):
    view.asked(prompt("a", "First?"))
    view.show([delta("a", 0, "word " * 50), delta("a", 1, "", final=True)])
    assert lines(view) == []
    assert ("word " * 50).strip() in out.getvalue()


def test_the_newest_words_are_shown_and_no_row_is_wider_than_the_terminal(view):
    view.asked(prompt("a", "日本語の質問 " * 20))
    view.show([delta("a", 0, "漢字 " * 100 + "end")])
    (row,) = lines(view)
    assert row.endswith("end")
    assert len(row) + sum("一" <= char <= "鿿" or "぀" <= char <= "ヿ" for char in row) <= 60


def test_more_answers_than_lines_are_counted(view):
    for number in range(20):
        view.asked(prompt(str(number), f"Question {number}"))
    rows = lines(view, height=10)
    assert len(rows) < 10
    assert "13 more" in rows[0]
    assert rows[-1].startswith("Question 19")


def test_a_new_attempt_begins_anew(view):
    view.asked(prompt("a", "First?"))
    view.show([delta("a", 0, "lost"), delta("a", 0, "kept", attempt=2)])
    (row,) = lines(view)
    assert "lost" not in row
    assert row.endswith("kept")


def test_a_failure_is_shown_with_its_question(view, out):
    view.asked(prompt("a", "First?"))
    view.show([DeadLetter("a", "{}", "RateLimitError", "too fast", 429, True, 1, "")])
    assert "First?" in out.getvalue()
    assert "too fast" in out.getvalue()


def test_what_a_model_says_cannot_move_the_cursor(view, out):
    view.asked(prompt("a", "First?\x1b[2J"))
    view.show([delta("a", 0, "\x1b]0;title\x07x\r"), delta("a", 1, "", final=True)])
    assert "\x1b]0" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_what_is_typed_stays_in_view(view):
    view.asked(prompt("a", "First?"))
    view.typed("my next quest")
    assert lines(view)[-1] == "> my next quest"


def test_lines_can_be_edited():
    line = ""
    for char in "abx\x7fc\x15über\x1b!":
        line = edited(line, char)
    assert line == "über!"


def test_typed_lines_come_one_by_one_until_the_end_and_the_terminal_is_put_back():
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    before, shown = termios.tcgetattr(theirs), []
    keyboard = Keyboard(theirs, shown.append)
    os.write(ours, "hello\nwörld\n\x04".encode())
    assert list(keyboard) == [b"hello", "wörld".encode()]
    assert shown[-1] is None
    keyboard.restore()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
