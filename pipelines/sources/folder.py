"""Prompts from the files that appear in a folder.

Whatever happens to a file or to the folder, the job goes on: a file that disappears is not read
further, a folder that disappears is waited for, and a file that cannot be read is skipped. The log
has a line about each. Links are skipped, because their targets may be any files of this machine.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pipelines.sources.base import Consumer, Message, SourceUnavailable

_log = logging.getLogger("pipelines")

# A longer line is cut there, and fails: no row is that long.
_MOST_LINE_BYTES = 64 << 20


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


@dataclass(slots=True)
class _File:
    """A file that is being read, or has rows without an outcome."""

    name: str
    identity: tuple[int, int] = (0, 0)  # device and inode: another file may get the same name
    size: int = 0  # when it was last read to its end
    lines: int = 0
    next_line: int = 0  # where to read on: after the last newline
    half: bytes = b""  # the last line, if it had no newline yet
    open: int = field(default=1)  # lines without an outcome, plus one while it is read


class _FolderConsumer:
    """The lines of the *.jsonl files in a folder, as they appear.

    The consumer reads a file once it has not changed between two scans, and moves it to `done/`
    once each of its lines has an outcome. Otherwise the next run reads the file again. A file that
    grew in the meantime stays, and its new lines are read.
    """

    def __init__(self, folder: str, scan_every: float = 0.5) -> None:
        self._folder, self._every = folder, scan_every
        self._done = os.path.join(folder, "done")
        try:
            os.makedirs(self._done, exist_ok=True)
        except OSError as error:
            raise SourceUnavailable(f"cannot use the folder {folder}: {error.strerror}") from error
        self._next_scan = 0.0
        self._seen: dict[str, tuple[int, ...]] = {}
        self._taken: dict[str, _File] = {}
        self._lines: Iterator[Message] = iter(())
        self._waiting: deque[_File] = deque()
        self._grown: dict[str, _File] = {}  # to be read on once they have stopped changing
        self._said: set[str] = set()
        self._lock = threading.RLock()

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
            for file in receipts:
                file.open -= 1
                if not file.open:
                    self._finish(file)

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
        with self._lock:
            before, self._seen = self._seen, self._files()
            new = [n for n, state in self._seen.items() if before.get(n) == state]
            ready = sorted(set(new) - self._taken.keys(), key=lambda n: (self._seen[n][-1], n))
            files = [_File(name) for name in ready]
            self._taken.update({file.name: file for file in files})
            files += [self._grown.pop(name) for name in new if name in self._grown]
            self._waiting.extend(files)
        return bool(files)

    def _files(self) -> dict[str, tuple[int, ...]]:
        """Return the state of each file in the folder; empty while there is no folder."""
        found: dict[str, tuple[int, ...]] = {}
        try:
            entries = [e for e in os.scandir(self._folder) if e.name.endswith(".jsonl")]
        except OSError as error:
            self._say(f"cannot read the folder {self._folder}, waiting for it: {error.strerror}")
            return found
        for entry in entries:
            if entry.is_symlink():
                self._say(f"{entry.path} is a link, and is not read; move the file itself here")
            elif not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                try:
                    state = entry.stat(follow_symlinks=False)
                except OSError:  # it has disappeared
                    continue
                found[entry.name] = (*_identity(state), state.st_size, state.st_mtime_ns)
        return found

    def _read(self, file: _File) -> Iterator[Message]:
        path = os.path.join(self._folder, file.name)
        try:
            # A link may have taken the place of the file; a pipe must not block.
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            with open(os.open(path, flags), "rb") as content:
                state = os.fstat(content.fileno())
                if file.identity not in ((0, 0), _identity(state)):
                    raise FileNotFoundError(2, "another file has its name")
                file.identity = _identity(state)
                content.seek(file.next_line)
                yield from self._messages(file, path, content)
        except OSError as error:
            self._say(f"cannot read {path} further, leaving it: {error.strerror}")
            self._forget(file)
            return
        self.settle([file])

    def _messages(self, file: _File, path: str, content: BinaryIO) -> Iterator[Message]:
        number = file.lines
        while line := content.readline(_MOST_LINE_BYTES):
            number += 1
            text = line.strip()
            if len(line) == _MOST_LINE_BYTES and not line.endswith(b"\n"):
                line = _rest_of_line(content)
            repeated, file.half = file.half == text, b""
            file.size = content.tell()
            if line.endswith(b"\n"):
                file.lines, file.next_line = number, file.size
            else:
                file.half = text
            if text and not repeated:
                with self._lock:
                    file.open += 1
                yield Message(text, f"{file.name}:{number}", f"{path}, line {number}", file)

    def _finish(self, file: _File) -> None:
        """Move a file to done/, or read on if it has grown; the caller has the lock."""
        path = os.path.join(self._folder, file.name)
        try:
            state = os.lstat(path)
            if _identity(state) != file.identity or not stat.S_ISREG(state.st_mode):
                self._forget(file)  # another file has its name now
            elif state.st_size > file.size:
                file.open = 1
                self._grown[file.name] = file
            else:
                self._move(path, file.name)
                self._forget(file)
        except OSError as error:
            self._say(f"cannot move {path} to {self._done}: {error.strerror}")
            if isinstance(error, FileNotFoundError):
                self._forget(file)

    def _move(self, path: str, name: str) -> None:
        """Move the file to done/, under another name if there is one of its name."""
        os.makedirs(self._done, exist_ok=True)
        stem, number = name.removesuffix(".jsonl"), 1
        target = os.path.join(self._done, name)
        while os.path.lexists(target):
            number += 1
            target = os.path.join(self._done, f"{stem}.{number}.jsonl")
        os.rename(path, target)

    def _forget(self, file: _File) -> None:
        """Let the next file of this name be read."""
        with self._lock:
            if self._taken.get(file.name) is file:
                del self._taken[file.name]
                self._seen.pop(file.name, None)
                self._grown.pop(file.name, None)

    def _say(self, text: str) -> None:
        """Log `text` once."""
        if text not in self._said and len(self._said) < 1_000:
            self._said.add(text)
            _log.warning(text)


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _rest_of_line(content: BinaryIO) -> bytes:
    """Read to the end of a line; return its last piece."""
    line = b""
    while not line.endswith(b"\n") and (piece := content.readline(_MOST_LINE_BYTES)):
        line = piece
    return line
