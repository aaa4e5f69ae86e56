"""Files of JSON lines as the input of a batch job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import apache_beam as beam

from pipelines.filesystem import printable
from pipelines.inputs import compression, file_kinds
from pipelines.inputs.files import check_files, match_files, open_files
from pipelines.inputs.paths import common_folder
from pipelines.inputs.rows import Line, to_line

# Counting reads the whole input. Beyond this size it would delay the start of the job.
_MOST_COUNTED_BYTES = 4 << 30
# A longer line is not a row. It must not fill the memory either.
_MOST_LINE_BYTES = 64 << 20
_SHOWN = 1_000
_BOM = b"\xef\xbb\xbf"


class JsonLines:
    """JSON lines in files of any name, compressed or not. See `InputFormat`."""

    has_order = True
    needs_bucket = False

    def match(self, location: str) -> bool:
        """Return True: JSON lines are the format of every location that no other format claims."""
        return True

    def check(self, locations: Sequence[str]) -> None:
        """Raise UsageError unless each location matches files that look like JSON lines."""
        check_files(locations)

    def files(self, locations: Sequence[str]) -> Sequence[str]:
        """Return the paths of the files that the locations match."""
        return [str(file.path) for file in match_files(locations)]

    def count(self, locations: Sequence[str], most_bytes: int = _MOST_COUNTED_BYTES) -> int | None:
        """Return the number of lines in local, uncompressed files of up to `most_bytes`."""
        found = match_files(locations)
        files = [file.path for file in found]
        if sum(file.size_in_bytes for file in found) > most_bytes:
            return None
        return sum(map(_count_lines, files)) if all(map(_is_plain, files)) else None

    def read(self, root: Any, locations: Sequence[str]) -> Any:
        """Return the lines of the files, without the empty ones.

        The job fails with DamagedFile if compressed data is damaged or ends too early.
        """
        read = beam.ParDo(_ReadLinesFn(common_folder(locations)))
        return open_files(root, locations) | "ReadLines" >> read


class _ReadLinesFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, file: Any) -> Iterator[Line]:
        path = file.metadata.path
        name = printable(path.removeprefix(self._folder))
        with compression.opened(path) as content:
            head = content.read(file_kinds.HEAD_BYTES)
            if why := file_kinds.fault(head):
                yield to_line(printable(path), name, 1, head[:_SHOWN])._replace(fault=why)
                return
            for number, data in enumerate(_lines(head.removeprefix(_BOM), content), 1):
                if len(data) > _MOST_LINE_BYTES:
                    yield _too_long(to_line(printable(path), name, number, data[:_SHOWN]))
                elif data.strip():
                    yield to_line(printable(path), name, number, data.rstrip(b"\r\n"))


def _too_long(line: Line) -> Line:
    return line._replace(fault=f"a row must have at most {_MOST_LINE_BYTES:,} bytes")


def _lines(head: bytes, rest: BinaryIO, most: int = _MOST_LINE_BYTES) -> Iterator[bytes]:
    """Yield the lines of `head` and `rest`; of a line above `most` bytes only the beginning.

    Only newlines end a line: JSON may contain U+2028 and similar characters unescaped.
    """
    *lines, last = head.split(b"\n")
    yield from lines
    while data := rest.readline(most + 1):
        whole, last = last + data, b""
        yield whole
        while len(whole) > most and data and not data.endswith(b"\n"):
            data = rest.readline(most + 1)
    if last:
        yield last


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) and compression.is_plain(path)


def _count_lines(path: str) -> int:
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")
