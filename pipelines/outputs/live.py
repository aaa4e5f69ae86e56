"""Sinks on this machine: files of JSON lines, and standard output."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

import orjson

from pipelines.errors import ReaderLeft
from pipelines.filesystem import append_whole
from ritellm.terminal import clean
from transforms.elements import Outcome
from transforms.serialization import KINDS, to_bytes, to_row
from transforms.sinks.base import SinkUnavailable


class JsonLines:
    """Appends lines to a file of this run, `folder/name-TIME-PID.jsonl`; readers may follow it.

    A batch counts as published once the operating system has it: it survives a crash of this
    process, not of the machine.
    """

    def __init__(self, folder: str, name: str) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self._folder = folder
        self._path = os.path.join(folder, f"{name}-{stamp}-{os.getpid()}.jsonl")

    def check(self) -> None:
        """Make the folder; raises SinkUnavailable if it is not writable."""
        probe = os.path.join(self._folder, f".ritellm-{os.getpid()}")
        try:
            os.makedirs(self._folder, exist_ok=True)
            with open(probe, "wb"):
                os.unlink(probe)
        except OSError as error:
            raise SinkUnavailable(f"cannot write to {self._folder}: {error.strerror}") from error

    def publish(self, batch: Sequence[Outcome]) -> None:
        """Append `batch`."""
        lines = b"".join(to_bytes(element) + b"\n" for element in batch)
        try:
            with open(self._path, "ab", buffering=0) as file:
                append_whole(file.fileno(), lines)
        except OSError as error:
            raise SinkUnavailable(f"cannot write {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Do nothing: the file is closed after each batch."""


class Stdout:
    """Lines of JSON on standard output, each with its `kind`: delta, completion or failed."""

    _lock = threading.Lock()

    def check(self) -> None:
        """Do nothing: standard output always exists."""

    def publish(self, batch: Sequence[Outcome]) -> None:
        """Print `batch`."""
        rows = ({"kind": KINDS[type(element)], **to_row(element)} for element in batch)
        lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
        if sys.stdout.isatty():
            lines = clean(lines.decode()).encode()
        try:
            with self._lock:
                sys.stdout.buffer.write(lines)
                sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise ReaderLeft("the reader of stdout has left") from error

    def close(self) -> None:
        """Do nothing: standard output stays open."""
