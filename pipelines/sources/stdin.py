"""Prompts from standard input, one for each line."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

import orjson

from pipelines.inputs.rows import encoding_fault
from pipelines.shutdown import on_sudden_end
from pipelines.sources.base import Message, SourceEnded
from pipelines.terminal.keyboard import Keyboard
from pipelines.terminal.live_sink import is_live, view

if TYPE_CHECKING:
    from pipelines.terminal.line_editor import LineEditor


# What a person at a terminal reads first.
GREETING = (
    "Type a prompt and press Enter to send it; the next one can be sent at once. Arrow up brings"
    " back an earlier one. Ctrl-D on an empty line ends when the answers are there, Ctrl-C twice"
    " ends at once."
)


@dataclass(frozen=True)
class Stdin:
    """Standard input as a source."""

    def check(self) -> None:
        """Do nothing: standard input always exists."""

    def __call__(self) -> StdinConsumer:
        """Start to read. On a terminal the live view shows the line that is being typed."""
        if not (sys.stdin.isatty() and is_live()):
            return StdinConsumer(_lines(sys.stdin.buffer))
        view().say(GREETING)
        editor = _editor(sys.stdin.fileno())
        on_sudden_end(editor.restore)
        return StdinConsumer(editor)


def _editor(fd: int) -> LineEditor | Keyboard:
    """Return what reads the typed lines: an editor with history, or one with few keys."""
    try:
        from pipelines.terminal.line_editor import LineEditor
    except ImportError:  # prompt_toolkit is not installed
        return Keyboard(fd, view().typed)
    return LineEditor(fd, view().typed)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `file` as they arrive.

    It reads the raw file, because Python aborts at exit if a thread waits in the buffered one.
    """
    raw: Any = getattr(file, "raw", file)
    rest = b""
    while data := raw.read(1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    yield rest


class StdinConsumer:
    """Lines of standard input: JSON rows, or plain prompts. Nothing is delivered again."""

    def __init__(self, lines: Iterable[bytes], most: int = 1_000) -> None:
        self._lines = lines
        # Equal lines of two runs are different prompts, so the ids contain the run.
        self._run = uuid4().hex[:8]
        self._queue: queue.Queue[Message | None] = queue.Queue(most)
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def poll(self, seconds: float) -> Message | None:
        """Return the next line."""
        try:
            message = self._queue.get(seconds > 0, seconds or None)
        except queue.Empty:
            return None
        if message is None:
            self._queue.put(None)
            raise SourceEnded
        return message

    def keep(self) -> None:
        """Do nothing: standard input has no group of readers."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Do nothing: standard input takes no acknowledgements."""

    def close(self) -> None:
        """Leave the other lines unread."""

    def _read(self) -> None:
        for number, line in enumerate(self._lines, 1):
            if text := line.strip():
                self._queue.put(
                    Message(_as_row(text), f"stdin-{self._run}:{number}", f"stdin, line {number}")
                )
        self._queue.put(None)


def _as_row(line: bytes) -> bytes:
    """Return a line as a JSON row; a line that is not JSON becomes the prompt."""
    if line.startswith(b"{") or encoding_fault(line):
        return line
    return orjson.dumps({"prompt": line.decode()})
