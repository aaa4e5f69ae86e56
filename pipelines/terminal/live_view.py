"""Answers growing side by side on a terminal: whole ones above, those under way below."""

from __future__ import annotations

import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterable
from typing import TextIO

import orjson

from ritellm.chunks.follow import Finished, Follower, Grown, Superseded
from transforms.elements import PUMP, Completion, DeadLetter, Delta, Prompt

_BOLD, _DIM, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"
_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"
_MOST_LABEL = 32


class LiveView:
    """What the terminal shows. Usable from any thread.

    An answer under way is one line that shows its newest words; when it is whole it is printed in
    full, above, and stays. `typed` is the line that a person is typing.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
    ) -> None:
        self._out, self._size = out, size
        self._follower = Follower()
        self._labels: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}  # under way, the oldest first
        self._done: list[str] = []
        self._typed: str | None = None
        self._drawn = 0  # lines of the last frame
        self._lock = threading.Lock()

    def asked(self, prompt: Prompt) -> Prompt:
        """Note what `prompt` asks; returns it."""
        if prompt.request != PUMP.request:
            with self._lock:
                self._labels[prompt.id] = _question(prompt)
                self._texts.setdefault(prompt.id, [])
                self._draw()
        return prompt

    def show(self, outcomes: Iterable[Delta | Completion | DeadLetter]) -> None:
        """Show what has come."""
        with self._lock:
            for outcome in outcomes:
                if isinstance(outcome, Delta):
                    self._add(outcome)
                elif isinstance(outcome, DeadLetter):
                    self._end(outcome.id, f"{_RED}{_visible(outcome.message)}{_PLAIN}")
            self._draw()

    def typed(self, text: str | None) -> None:
        """Show `text` as the line that is being typed; None for no such line."""
        with self._lock:
            self._typed = text
            self._draw()

    def say(self, text: str) -> None:
        """Show a line of the program's own, among the answers."""
        with self._lock:
            self._done.append(f"{_DIM}{text}{_PLAIN}")
            self._draw()

    def close(self) -> None:
        """Leave the terminal as it was, with what has been shown."""
        with self._lock:
            self._typed = None
            self._draw()

    def frame(self, width: int, height: int) -> list[str]:
        """Return the lines below the finished answers."""
        room = max(1, height - 3)
        rows = list(self._texts.items())
        hidden = len(rows) - room if len(rows) > room else 0
        lines = [self._row(id, "".join(pieces), width) for id, pieces in rows[hidden:]]
        if hidden:
            lines.insert(0, f"{_DIM}... and {hidden} more{_PLAIN}")
        if self._typed is not None:
            lines.append("> " + _tail(self._typed, width - 3))
        return lines

    def _add(self, delta: Delta) -> None:
        for event in self._follower.feed(delta):
            if isinstance(event, Superseded):
                self._texts[event.id] = []
            elif isinstance(event, Grown):
                self._texts.setdefault(event.id, []).append(_visible(event.added))
            elif isinstance(event, Finished):
                self._end(event.id, _visible(event.text).strip() or "(no text)")

    def _end(self, id: str, text: str) -> None:
        self._texts.pop(id, None)
        self._done.append(f"{_BOLD}{self._labels.pop(id, id)}{_PLAIN}\n{text}\n")

    def _row(self, id: str, text: str, width: int) -> str:
        most = min(_MOST_LABEL, width // 3)
        label = _head(self._labels.get(id, id), most)
        words = _tail(" ".join(text.split()), width - most - 4)
        return f"{_DIM}{label}{' ' * (most - _columns(label))} ▸{_PLAIN} {words}"

    def _draw(self) -> None:
        """Print what is finished over the last frame, and the new frame below it."""
        lines = self.frame(*self._size())
        parts = ["\r", f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""]
        for text in self._done:
            parts += [line + _CLEAR_LINE + "\n" for line in text.split("\n")]
        parts.append(f"{_CLEAR_LINE}\n".join(lines) + _CLEAR_LINE + _CLEAR_BELOW)
        self._done.clear()
        self._drawn = len(lines)
        out = self._out or sys.stdout
        out.write("".join(parts))
        out.flush()


VIEW = LiveView()


class Live:
    """The sink that shows what it gets in this process's view."""

    def check(self) -> None:
        """The terminal is there."""

    def publish(self, lot: Iterable[Delta | Completion | DeadLetter]) -> None:
        """Show `lot`."""
        VIEW.show(lot)

    def close(self) -> None:
        """Leave what was shown."""
        VIEW.close()


def asked(prompt: Prompt) -> Prompt:
    """Show in this process's view that `prompt` is asked."""
    return VIEW.asked(prompt)


def _question(prompt: Prompt) -> str:
    messages = orjson.loads(prompt.request).get("messages") or [{}]
    content = messages[-1].get("content") if isinstance(messages[-1], dict) else None
    return _visible(" ".join(content.split())) if isinstance(content, str) else prompt.id


def _visible(text: str) -> str:
    """Return `text` without what would move the cursor or worse: a model may say anything."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _columns(text: str) -> int:
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cc", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _head(text: str, columns: int) -> str:
    """Return as much of the beginning of `text` as fits."""
    if _columns(text) <= columns:
        return text
    while text and _columns(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def _tail(text: str, columns: int) -> str:
    """Return as much of the end of `text` as fits."""
    text = text[-4 * columns :] if columns > 0 else ""
    if _columns(text) <= columns:
        return text
    while text and _columns(text) > columns - 1:
        text = text[1:]
    return "…" + text
