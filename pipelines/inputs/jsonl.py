"""Files of JSON lines as the input of a batch job."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes

from pipelines.inputs.files import check_files, common_folder, match_files, open_files
from pipelines.inputs.rows import Line

# Counting reads the whole input. Beyond this size it would delay the start of the job.
_MOST_COUNTED_BYTES = 4 << 30


class JsonLines:
    """JSON lines in files of any name, compressed or not. See `InputFormat`."""

    has_order = True
    needs_bucket = False

    def match(self, location: str) -> bool:
        """Return True: JSON lines are the format of every location that no other format claims."""
        return True

    def check(self, location: str) -> None:
        """Raise UsageError unless `location` matches a file that can be opened."""
        check_files(location)

    def files(self, location: str) -> Sequence[str]:
        """Return the paths of the files that `location` matches."""
        return [str(file.path) for file in match_files(location)]

    def count(self, location: str, most_bytes: int = _MOST_COUNTED_BYTES) -> int | None:
        """Return the number of lines in local, uncompressed files of up to `most_bytes`."""
        found = match_files(location)
        paths = [file.path for file in found]
        if sum(file.size_in_bytes for file in found) > most_bytes:
            return None
        return sum(map(_count_lines, paths)) if all(map(_is_plain, paths)) else None

    def read(self, root: Any, location: str) -> Any:
        """Return the lines of the files, without the empty ones."""
        folder = common_folder(location)
        return open_files(root, location) | "ReadLines" >> beam.ParDo(_ReadLinesFn(folder))


class _ReadLinesFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, file: Any) -> Iterator[Line]:
        path = file.metadata.path
        name = path.removeprefix(self._folder)
        with file.open(compression_type=CompressionTypes.AUTO) as raw:
            # Only newlines end a row: JSON may contain U+2028 and similar characters unescaped.
            text = io.TextIOWrapper(
                io.BufferedReader(_Readable(raw)), "utf-8-sig", "replace", newline="\n"
            )
            for number, line in enumerate(text, 1):
                line = line.rstrip("\r\n")
                if line.strip():
                    yield Line(path, name, number, line)


class _Readable(io.RawIOBase):
    """A Beam file as the raw stream that Python's text layer expects."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) and not path.endswith((".gz", ".bz2", ".zst", ".zip", ".xz"))


def _count_lines(path: str) -> int:
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")
