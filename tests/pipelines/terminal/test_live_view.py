"""What a person sees and types while several completions grow."""

from __future__ import annotations

import contextlib
import io
import os
import threading

import orjson
import pytest

from pipelines.terminal.cells import cells_in
from pipelines.terminal.keyboard import Keyboard, edited
from transforms import DeadLetter, Delta, Prompt

console = pytest.importorskip("rich.console")
live_view = pytest.importorskip("pipelines.terminal.live_view")


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
    screen = console.Console(file=out, force_terminal=True, width=60, height=10, highlight=False)
    with contextlib.closing(live_view.LiveView(screen)) as view:
        yield view


def lines(view, width=60, height=10):
    return [line.plain for line in view.frame(width, height)]


def test_completions_in_progress_grow_side_by_side(view):
    view.add_prompt(prompt("a", "First?"))
    view.add_prompt(prompt("b", "Second?"))
    view.show([delta("a", 0, "one "), delta("b", 0, "uno "), delta("a", 1, "two")])
    first, second = lines(view)
    assert first.startswith("First?")
    assert first.endswith("one two")
    assert second.endswith("uno")


def test_a_finished_completion_is_printed_in_full_and_leaves_the_lines_below(view, out):
    view.add_prompt(prompt("a", "First?"))
    view.show([delta("a", 0, "word " * 50), delta("a", 1, "", final=True)])
    assert lines(view) == []
    assert out.getvalue().count("word") >= 50


def test_a_view_that_is_redrawn_all_the_time_never_blocks_what_it_shows(out):
    """The redrawing thread and the one that shows an answer take the same locks."""
    screen = console.Console(file=out, force_terminal=True, width=60, height=10, highlight=False)

    def show(view):
        for number in range(300):
            view.add_prompt(prompt(f"{number}", "First?"))
            view.show([delta(f"{number}", 0, "word"), delta(f"{number}", 1, "", final=True)])

    view = live_view.LiveView(screen, frames_per_second=5_000)
    showing = threading.Thread(target=show, args=[view], daemon=True)
    showing.start()
    showing.join(60)
    assert not showing.is_alive()
    view.close()
    assert out.getvalue().count("word") >= 300


def test_the_newest_words_are_shown_and_no_row_is_wider_than_the_terminal(view):
    view.add_prompt(prompt("a", "日本語の質問 " * 20))
    view.show([delta("a", 0, "漢字 " * 100 + "end")])
    (row,) = lines(view)
    assert row.endswith("end")
    assert len(row) + sum("一" <= char <= "鿿" or "぀" <= char <= "ヿ" for char in row) <= 60


@pytest.mark.parametrize("messages", ["odd", {}, 7, [], ["odd"], [{"content": ["odd"]}], None])
def test_a_prompt_of_odd_messages_is_shown_by_its_id(view, messages):
    view.add_prompt(Prompt("row 7", orjson.dumps({"messages": messages}).decode()))
    view.show([delta("row 7", 0, "one")])
    assert lines(view)[0].startswith("row 7")


def test_completions_beyond_the_height_are_counted(view):
    for number in range(20):
        view.add_prompt(prompt(str(number), f"Question {number}"))
    rows = lines(view, height=10)
    assert len(rows) < 10
    assert "13 more" in rows[0]
    assert rows[-1].startswith("Question 19")


def test_a_new_attempt_replaces_the_text_of_the_last_one(view):
    view.add_prompt(prompt("a", "First?"))
    view.show([delta("a", 0, "lost"), delta("a", 0, "kept", attempt=2)])
    (row,) = lines(view)
    assert "lost" not in row
    assert row.endswith("kept")


def test_a_prompt_that_is_sent_again_starts_its_text_again(view, out):
    lost = delta("a", 0, "lost")._replace(submission="d.1.x")
    kept = [delta("a", 0, "kept"), delta("a", 1, "", final=True)]
    view.show([lost, kept[0]._replace(submission="d.2.x")])
    (row,) = lines(view)
    assert row.endswith("kept")
    view.show([kept[1]._replace(submission="d.2.x")])
    assert lines(view) == []
    assert "lost" not in out.getvalue()


def test_two_prompts_with_one_id_have_a_line_each(view, out):
    view.add_prompt(prompt("a", "First?"))
    one, two = delta("a", 0, "one"), delta("a", 0, "two")
    view.show([one._replace(submission="d.1.x"), two._replace(submission="e.1.x")])
    first, second = lines(view)
    assert (first.split()[-1], second.split()[-1]) == ("one", "two")
    view.show([delta("a", 1, "", final=True)._replace(submission="d.1.x")])
    (row,) = lines(view)
    assert row.endswith("two")
    view.show([delta("a", 1, "", final=True)._replace(submission="e.1.x")])
    assert lines(view) == []


def test_a_failure_is_shown_with_its_prompt(view, out):
    view.add_prompt(prompt("a", "First?"))
    view.show([DeadLetter("a", "{}", "RateLimitError", "too fast", 429, True, 1, "")])
    assert "First?" in out.getvalue()
    assert "too fast" in out.getvalue()


HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b2J\u202e\r[red]"


def test_text_of_prompts_models_ids_and_errors_cannot_control_the_terminal(view, out):
    view.add_prompt(prompt("a", HOSTILE))
    view.show([delta("a", 0, HOSTILE), delta(HOSTILE, 0, HOSTILE)])
    shown = "".join(lines(view))
    view.show([delta("a", 1, "", final=True), delta(HOSTILE, 1, "", final=True)])
    view.show([DeadLetter(HOSTILE, "{}", "APIError", HOSTILE, 500, True, 1, "")])
    view.say(HOSTILE)
    view.typed(HOSTILE)
    shown += "".join(lines(view)) + out.getvalue()
    for sequence in ("\x1b]0", "\x1b[2J", "\x9b", "\u202e"):
        assert sequence not in shown
    assert "[red]" in shown, "markup is text"


def test_an_escape_sequence_split_between_two_deltas_is_harmless(view, out):
    view.show([delta("a", 0, "\x1b"), delta("a", 1, "]0;t\x07"), delta("a", 2, "", final=True)])
    assert "␛]0;t␇" in out.getvalue()


def test_a_long_line_without_spaces_stays_on_one_line(view):
    view.show([delta("a", 0, "x" * 100_000 + "end")])
    (row,) = lines(view)
    assert row.endswith("xend")
    assert len(row) <= 60


def test_the_typed_line_stays_in_view(view):
    view.add_prompt(prompt("a", "First?"))
    view.typed("my next quest")
    assert lines(view)[-1] == "> my next quest "  # the cursor is a cell of its own


@pytest.mark.parametrize("cursor", [0, 1, 30, 59, 60, 100, 119, 120])
@pytest.mark.parametrize("char", ["x", "日", "👨\u200d👩\u200d👧", "e\u0301", "\n", "\x1b"])
def test_a_long_typed_line_is_cut_around_its_cursor(view, cursor, char):
    line = char * 120
    view.typed(line, cursor)
    (shown,) = view.frame(60, 10)
    assert cells_in(shown.plain) <= 60
    (span,) = shown.spans
    assert span.style == "reverse"
    assert "\n" not in shown.plain


def test_lines_can_be_edited():
    line = ""
    for char in "abx\x7fc\x15über\x1b!":
        line = edited(line, char)
    assert line == "über!"


def test_typed_lines_arrive_one_by_one_and_the_terminal_is_reset():
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    before, shown = termios.tcgetattr(theirs), []
    keyboard = Keyboard(theirs, shown.append)
    os.write(ours, "hel\x1b[D\x1b[1;5C\x1bOHlo\nwörld\n\x04".encode())
    assert list(keyboard) == [b"hello", "wörld".encode()]
    assert shown[-1] is None
    keyboard.restore()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
