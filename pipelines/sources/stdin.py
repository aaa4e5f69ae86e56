"""Prompts from standard input, a line each."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import uuid4

import orjson

from pipelines.shutdown import on_sudden_end
from pipelines.sources.base import FeedEnded, Message
from pipelines.terminal.keyboard import Keyboard
from pipelines.terminal.live_sink import is_live, view


@dataclass(frozen=True)
class Stdin:
    """Makes the feed of standard input."""

    def check(self) -> None:
        """Standard input is there."""

    def __call__(self) -> StdinFeed:
        """Return the feed, which begins to read; what is typed is shown in the live view."""
        if not (sys.stdin.isatty() and is_live()):
            return StdinFeed(_lines(sys.stdin.buffer))
        keyboard = Keyboard(sys.stdin.fileno(), view().typed)
        on_sudden_end(keyboard.restore)
        return StdinFeed(keyboard)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `file` as they come.

    Past its buffer: Python aborts when it is to end while a thread waits in there.
    """
    raw: Any = getattr(file, "raw", file)
    rest = b""
    while data := raw.read(1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    yield rest


class StdinFeed:
    """Lines of standard input: JSON rows, or prompts as they are. Nothing comes again."""

    def __init__(self, lines: Iterable[bytes], most: int = 1_000) -> None:
        self._lines = lines
        self._run = uuid4().hex[:8]  # the same line of two runs is not the same prompt
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
            raise FeedEnded
        return message

    def keep(self) -> None:
        """Standard input wants nothing."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Standard input does not want to know."""

    def close(self) -> None:
        """Leave the rest unread."""

    def _read(self) -> None:
        for number, line in enumerate(self._lines, 1):
            if text := line.strip():
                self._queue.put(
                    Message(_as_row(text), f"stdin-{self._run}:{number}", f"stdin, line {number}")
                )
        self._queue.put(None)


def _as_row(line: bytes) -> bytes:
    """Return a line that a person may have typed as a JSON row."""
    if line.startswith(b"{"):
        return line
    return orjson.dumps({"prompt": line.decode("utf-8", "replace")})
