"""JSON lines: one JSON object per line. Each line is judged on its own.

Only newlines end a line: JSON may contain U+2028 and similar characters unescaped.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from pipelines.inputs import compression
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.base import MOST_ROW_BYTES, DataFile
from pipelines.inputs.readers.json_values import is_cut
from pipelines.inputs.readers.texts import as_utf8, read_head
from pipelines.inputs.rows import Line, UnreadableFile, as_text, to_line

_BLOCK_BYTES = 1 << 20
_BLANK = re.compile(rb"\n[ \t\r\x0b\x0c]*(?=\n)")
_SHOWN = 1_000
_BOM = codecs.BOM_UTF8


class JsonLines:
    """JSON lines, compressed or not. See `FileFormat`."""

    has_lines = True

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return what the file is, if its first lines are not JSON objects."""
        return kinds.fault_of_lines(head)

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the lines of the file, without the empty ones."""
        with _opened(file, options.encoding) as content:
            if file.start:
                yield from _rows(_from_next_line(file, content), b"", content)
                return
            head = read_head(content)
            if why := self.fault(head, options):
                raise UnreadableFile(why)
            if file.end is not None:
                content.seek(0)
                head = b""
            yield from _rows(file, head.removeprefix(_BOM), content)

    def count(self, path: str) -> int | None:
        """Return the number of lines that are not blank, of a file that is not compressed."""
        is_plain = os.path.isfile(path) and compression.is_plain(path)
        return _count_lines(path) if is_plain else None

    def schema(self, file: DataFile, options: InputOptions) -> None:
        """Return None: each line may have other columns."""

    def parts(self, file: DataFile) -> None:
        """Return None: `splitting` cuts files with lines."""


@contextmanager
def _opened(file: DataFile, encoding: str | None) -> Iterator[BinaryIO]:
    with compression.opened(file.path) as content:
        yield content if encoding is None else as_utf8(content, encoding)


def _from_next_line(file: DataFile, content: BinaryIO) -> DataFile:
    """Go to the first line that begins in a part, and return the part with its number."""
    content.seek(file.start - 1)
    while data := content.readline(MOST_ROW_BYTES):
        if data.endswith(b"\n"):
            break
    at_line = content.tell() == file.start
    return file if at_line else file._replace(first=file.first + 1)


def _rows(file: DataFile, head: bytes, rest: BinaryIO) -> Iterator[Line]:
    """Yield the lines of `head` and `rest` that begin before the end of a part."""
    lines = enumerate(_lines(head, rest), file.first)
    while file.end is None or rest.tell() < file.end:
        number, data = next(lines, (0, None))
        if data is None:
            return
        if len(data) > MOST_ROW_BYTES:
            fault = f"a row must have at most {MOST_ROW_BYTES:,} bytes"
            yield to_line(file.shown, file.name, number, data[:_SHOWN])._replace(fault=fault)
        elif data.strip():
            if data[-1:] != b"\n" and is_cut(as_text(data.removeprefix(_BOM))):
                raise UnreadableFile("the file ends in the middle of the line")
            yield to_line(file.shown, file.name, number, data.rstrip(b"\r\n"))


def _lines(head: bytes, rest: BinaryIO, most: int = MOST_ROW_BYTES) -> Iterator[bytes]:
    """Yield the lines of `head` and `rest`; of a line above `most` bytes only the beginning."""
    *lines, last = head.split(b"\n")
    for line in lines:
        yield line + b"\n"
    while data := rest.readline(most + 1):
        whole, last = last + data, b""
        yield whole
        while len(whole) > most and data and not data.endswith(b"\n"):
            data = rest.readline(most + 1)
    if last:
        yield last


def _count_lines(path: str) -> int:
    """Return the number of lines that are not blank; only newlines end a line."""
    lines, rest = 0, b"\n"  # each piece begins with the newline before its first line
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            whole, newline, begun = (rest + block).rpartition(b"\n")
            lines += whole.count(b"\n") - sum(1 for _ in _BLANK.finditer(whole + newline))
            # Of a line without end only whether it is blank is kept.
            rest = b"\n" + (begun if len(begun) < _BLOCK_BYTES else begun.strip()[:1])
    return lines + bool(rest.strip())
