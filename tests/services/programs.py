"""Programs of ours as processes of their own, whose lines a test reads as they come."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


class Program:
    """A running program; `lines` has what it has printed so far."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-none"}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, wanted: Callable[[str], bool]) -> str:
        """Return the next line that is `wanted`."""
        while (line := self._queue.get(timeout=SECONDS)) is not None:
            self.lines.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"ended with {self.process.wait()}: {self.lines[-20:]}")

    def ended(self) -> int:
        """Return the exit status, once it has ended; all it printed is in `lines`."""
        while (line := self._queue.get(timeout=SECONDS)) is not None:
            self.lines.append(line)
        return self.process.wait(SECONDS)

    def stop(self) -> int:
        """Ask it to end, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Have it die at once."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._queue.put(line.rstrip("\n"))
        self._queue.put(None)


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what `condition` returns once that is true: other processes take their time."""
    patience = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < patience, "it did not happen in time"
        time.sleep(0.05)
    return found


@contextmanager
def running(arguments: list[str], folder: Path = ROOT) -> Iterator[Program]:
    """Run a program; what is left of it in the end is killed."""
    program = Program(arguments, folder)
    try:
        yield program
    finally:
        program.kill()
