"""JSON lines; each line contains its input row."""

from __future__ import annotations

from typing import BinaryIO

from pipelines.outputs.formats.base import Lines
from transforms.elements import Completion, DeadLetter, Delta, Record
from transforms.serialization import to_bytes


class JsonLines:
    """Rows of any kind as lines of JSON. See `RowFormat`."""

    suffix = ".jsonl"
    mime_type = "text/plain"
    step = "ToJson"

    def encode(self, row: Completion | DeadLetter | Delta | Record) -> bytes:
        """Return the line of a row."""
        return to_bytes(row)

    def open(self, file: BinaryIO) -> Lines:
        """Return the writer of a new file."""
        return Lines(file)
