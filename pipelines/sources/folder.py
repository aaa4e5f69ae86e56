"""Where prompts come from without end: what a feed is, standard input, and a folder of files."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import Feed, FeedUnavailable, Message


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
