"""Typing prompts on a terminal: a pseudo terminal has the keyboard, and these are its keys."""

from __future__ import annotations

import os
import threading
import time

import pytest

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")
line_editor = pytest.importorskip("pipelines.terminal.line_editor")

LEFT, RIGHT, UP, DOWN = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"
HOME, END, DELETE, BACKSPACE, ENTER = "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f", "\r"
WORD_LEFT, KILL_WORD, KILL_LINE, END_OF_INPUT = "\x1b[1;5D", "\x17", "\x15", "\x04"


@pytest.fixture
def terminal():
    """The two ends of a terminal: that of the person, and that of the program."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def typed(terminal, keys):
    """Return the lines that a program reads when a person presses `keys`, then Ctrl-D."""
    ours, theirs = terminal
    shown = []
    editor = line_editor.LineEditor(theirs, lambda text, cursor: shown.append((text, cursor)))
    os.write(ours, (keys + END_OF_INPUT).encode())
    lines = [line.decode() for line in editor]
    editor.restore()
    return lines, shown


EDITED = {
    "hello": f"hello{ENTER}",
    "hello with arrows": f"helo with arrows{HOME}{RIGHT * 3}l{ENTER}",
    "deleted": f"dxelxeted{HOME}{RIGHT}{DELETE}{RIGHT * 2}{DELETE}{END}{ENTER}",
    "back": f"bacck{LEFT}{BACKSPACE}{ENTER}",
    "one three": f"one two{KILL_WORD}three{ENTER}",
    "again": f"nothing of this{KILL_LINE}again{ENTER}",
    "the word": f"word{WORD_LEFT}the {ENTER}",
    "wörld 日本語 👍🏽": f"wörld 日本語 👍🏽{ENTER}",
    "日语": f"日本语{LEFT}{BACKSPACE}{ENTER}",
    "two\nlines": f"\x1b[200~two\nlines\x1b[201~{ENTER}",
    'say "{}" \\n': f'say "{{}}" \\n{ENTER}',
}


@pytest.mark.parametrize(("line", "keys"), EDITED.items(), ids=[*map(ascii, EDITED)])
def test_a_line_is_edited_as_in_a_shell(terminal, line, keys):
    lines, shown = typed(terminal, keys)
    assert lines == [line]
    assert (line, len(line)) in shown or any(text == line for text, _ in shown)
    assert shown[-1] == (None, 0), "Ctrl-D on an empty line ends"


def test_arrow_up_brings_back_earlier_lines(terminal):
    ours, theirs = terminal
    editor = line_editor.LineEditor(theirs, lambda text, cursor: None)
    buffer = editor._session.default_buffer
    keys = [f"first{ENTER}", f"second{ENTER}", f"{UP}{UP}!{ENTER}", f"{UP}{UP}{DOWN}?{ENTER}"]

    def is_ready():  # the earlier lines are loaded in the background, in less than a keystroke
        task = buffer._load_history_task
        return editor._session.app.is_running and task is not None and task.done()

    def press():
        for number, each in enumerate([*keys, END_OF_INPUT]):
            while len(lines) < number or not is_ready():
                time.sleep(0.001)
            os.write(ours, each.encode())

    lines = []
    threading.Thread(target=press, daemon=True).start()
    for line in editor:
        lines.append(line.decode())
    editor.restore()
    assert lines == ["first", "second", "first!", "first!?"]


def test_the_cursor_is_shown_where_it_is(terminal):
    _, shown = typed(terminal, f"abc{LEFT}{LEFT}{ENTER}")
    assert ("abc", 1) in shown


def test_the_terminal_is_reset_and_does_not_mark_pastes_any_longer(terminal):
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    typed(terminal, f"hello{ENTER}")
    assert termios.tcgetattr(theirs) == before
    written = os.read(ours, 4096)
    assert written.count(b"\x1b[?2004h") == written.count(b"\x1b[?2004l") == 1
