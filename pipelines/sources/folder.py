"""Where prompts come from without end: what a feed is, standard input, and a folder of files."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol
from uuid import uuid4

import orjson

from pipelines.shutdown import on_sudden_end
from pipelines.terminal.keyboard import Keyboard
from pipelines.terminal.live_view import VIEW


class Message(NamedTuple):
    """One message: its bytes, a name that it keeps when it is delivered again, and its receipt."""

    data: bytes
    id: str
    place: str
    receipt: Any = None

    @property
    def key(self) -> str:
        """Messages have no place to be sorted by."""
        return ""

    @property
    def text(self) -> str:
        """The bytes as text."""
        return self.data.decode("utf-8", "replace")


class FeedEnded(Exception):
    """No message will come any more."""


class FeedUnavailable(Exception):
    """The source cannot be reached or does not exist; the message is one line."""


class FeedMissing(FeedUnavailable):
    """The source answers, and what is named is not there."""


class Feed(Protocol):
    """A source, as it lives in the process that reads it.

    What is not settled comes again, after this process if not before.
    """

    def poll(self, seconds: float) -> Message | None:
        """Return the next message, or None if none comes within `seconds`.

        Raises FeedEnded.
        """

    def keep(self) -> None:
        """Do what the source wants of a reader that wants nothing now; never waits."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Note that these messages are done; called from any thread, never waits."""

    def close(self) -> None:
        """Tell the source what is settled, and let go."""


class NewFeed(Protocol):
    """Makes a feed where it is called; pickled into the job."""

    def check(self) -> None:
        """Raise FeedUnavailable unless the source is there."""

    def __call__(self) -> Feed:
        """Return the feed; raises FeedUnavailable."""


@dataclass(frozen=True)
class Stdin:
    """Makes the feed of standard input."""

    def check(self) -> None:
        """Standard input is there."""

    def __call__(self) -> StdinFeed:
        """Return the feed, which begins to read; what is typed is shown in the live view."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return StdinFeed(_lines(sys.stdin.buffer))
        keyboard = Keyboard(sys.stdin.fileno(), VIEW.typed)
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


@dataclass(frozen=True)
class FolderFeed:
    """Makes the feed of a folder; one that is not there is made."""

    folder: str

    def check(self) -> None:
        """Raise FeedUnavailable unless files can be read there and moved."""
        _FolderFeed(self.folder)

    def __call__(self) -> Feed:
        """Return the feed."""
        return _FolderFeed(self.folder)


class _FolderFeed:
    """The lines of the *.jsonl files in a folder, as they appear.

    A file is read once it has not changed between two looks, and moved to `done/` when each of its
    lines has an outcome. Until then it is read again by the next run.
    """

    def __init__(self, folder: str, look_every: float = 0.5) -> None:
        self._folder, self._every = folder, look_every
        self._done = os.path.join(folder, "done")
        try:
            os.makedirs(self._done, exist_ok=True)
        except OSError as error:
            raise FeedUnavailable(f"cannot use the folder {folder}: {error.strerror}") from error
        self._next_look = 0.0
        self._seen: dict[str, tuple[int, int]] = {}
        self._taken: set[str] = set()
        self._lines: Iterator[Message] = iter(())
        self._waiting: deque[str] = deque()
        self._open: Counter[str] = Counter()  # lines without an outcome; one more while it is read
        self._lock = threading.Lock()

    def poll(self, seconds: float) -> Message | None:
        """Return the next line of the oldest file."""
        if message := next(self._lines, None):
            return message
        if self._waiting or self._look(seconds):
            self._lines = self._read(self._waiting.popleft())
            return next(self._lines, None)
        return None

    def keep(self) -> None:
        """A folder wants nothing."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Count the lines down; the last one moves its file."""
        with self._lock:
            self._open.subtract(receipts)
            over = [name for name in set(receipts) if not self._open[name]]
            for name in over:
                del self._open[name]
                self._move(name)

    def close(self) -> None:
        """Leave the rest where it is."""

    def _look(self, seconds: float) -> bool:
        """Find the files that are new and finished; waits until it is time to look."""
        now = time.monotonic()
        if self._next_look > now + seconds:
            time.sleep(seconds)
            return False
        time.sleep(max(0.0, self._next_look - now))
        self._next_look = time.monotonic() + self._every
        before, self._seen = self._seen, dict(_files(self._folder))
        self._taken &= self._seen.keys()
        new = [n for n, state in self._seen.items() if before.get(n) == state]
        ready = sorted(set(new) - self._taken, key=lambda name: (self._seen[name][1], name))
        self._taken.update(ready)
        self._waiting.extend(ready)
        return bool(ready)

    def _read(self, name: str) -> Iterator[Message]:
        path = os.path.join(self._folder, name)
        self._open[name] = 1
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    with self._lock:
                        self._open[name] += 1
                    yield Message(line.strip(), f"{name}:{number}", f"{path}, line {number}", name)
        self.settle([name])

    def _move(self, name: str) -> None:
        os.replace(os.path.join(self._folder, name), os.path.join(self._done, name))


def _files(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for entry in os.scandir(folder):
        if entry.name.endswith(".jsonl") and not entry.name.startswith(".") and entry.is_file():
            found = entry.stat()
            yield entry.name, (found.st_size, found.st_mtime_ns)
