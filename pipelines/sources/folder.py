"""Prompts from the files that appear in a folder."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import Consumer, Message, SourceUnavailable


@dataclass(frozen=True)
class FolderSource:
    """A folder of *.jsonl files; a missing folder is created."""

    folder: str

    def check(self) -> None:
        """Raise SourceUnavailable unless files in the folder can be read and moved."""
        _FolderConsumer(self.folder)

    def __call__(self) -> Consumer:
        """Return the consumer of the folder."""
        return _FolderConsumer(self.folder)


class _FolderConsumer:
    """The lines of the *.jsonl files in a folder, as they appear.

    The consumer reads a file once it has not changed between two scans, and moves it to `done/`
    once each of its lines has an outcome. Otherwise the next run reads the file again.
    """

    def __init__(self, folder: str, scan_every: float = 0.5) -> None:
        self._folder, self._every = folder, scan_every
        self._done = os.path.join(folder, "done")
        try:
            os.makedirs(self._done, exist_ok=True)
        except OSError as error:
            raise SourceUnavailable(f"cannot use the folder {folder}: {error.strerror}") from error
        self._next_scan = 0.0
        self._seen: dict[str, tuple[int, int]] = {}
        self._taken: set[str] = set()
        self._lines: Iterator[Message] = iter(())
        self._waiting: deque[str] = deque()
        # For each file the lines without an outcome, plus one while the file is read.
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def poll(self, seconds: float) -> Message | None:
        """Return the next line of the oldest file."""
        if message := next(self._lines, None):
            return message
        if self._waiting or self._scan(seconds):
            self._lines = self._read(self._waiting.popleft())
            return next(self._lines, None)
        return None

    def keep(self) -> None:
        """Do nothing: a folder has no group of readers."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Count the open lines of each file down; move a file that has none."""
        with self._lock:
            self._open.subtract(receipts)
            over = [name for name in set(receipts) if not self._open[name]]
            for name in over:
                del self._open[name]
                self._move(name)

    def close(self) -> None:
        """Leave the other files for the next run."""

    def _scan(self, seconds: float) -> bool:
        """Queue new files that have stopped changing; waits until the next scan is due."""
        now = time.monotonic()
        if self._next_scan > now + seconds:
            time.sleep(seconds)
            return False
        time.sleep(max(0.0, self._next_scan - now))
        self._next_scan = time.monotonic() + self._every
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
