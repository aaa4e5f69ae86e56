"""What a format of output must offer: rows become records anywhere, records become files.

The two steps are apart because rows become records on all workers, and what writes a file may get
them later, in another process, and in another order.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol

from transforms.elements import Completion, DeadLetter, Delta, Record


class RowWriter(Protocol):
    """Writes the records of one file. The caller opens the file, and closes it."""

    def write(self, record: bytes) -> None:
        """Write a record, at once or later."""

    def close(self) -> None:
        """Write what is left, so that the file is complete."""


class RowFormat(Protocol):
    """A format for rows of one kind: completions, failed rows, deltas, records. It can be pickled.

    To add a format, write a module in this package with a class that has these members, and add a
    row to `choice.row_format` and to `names.NAMES`.
    """

    suffix: str
    mime_type: str
    step: str  # the label of the transform that makes records

    def encode(self, row: Completion | DeadLetter | Delta | Record) -> bytes:
        """Return the record of a row."""

    def open(self, file: BinaryIO) -> RowWriter:
        """Return the writer of a new file."""


class Lines:
    """Writes records that are lines, after a header. See `RowWriter`."""

    def __init__(self, file: BinaryIO, header: bytes = b"", end: bytes = b"\n") -> None:
        self._file = file
        self._end = end
        if header:
            file.write(header + end)

    def write(self, record: bytes) -> None:
        """Write the line."""
        self._file.write(record + self._end)

    def close(self) -> None:
        """Do nothing: all lines are written."""
