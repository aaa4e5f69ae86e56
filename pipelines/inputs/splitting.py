"""Cuts large files into parts, and shares files and parts out to all workers.

The problem: the id of a row without one is its file and line, and a worker that begins in the
middle of a file does not have the number of its first line.

The idea: workers first count the newlines of each range of bytes, which costs little beside
reading its rows. The sums of these counts are the numbers.

    files --> parts of Parquet, files that stay whole -----------------------> shuffle --> read
         +--> ranges of bytes --> shuffle --> count lines --> by file --> numbers --^

Only files that are not compressed have ranges. In CSV a newline may be inside quotes, so a worker
that begins in the middle would have to read all before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.inputs.compression import DamagedFile, is_plain, opened
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.choice import FORMATS, format_name
from pipelines.inputs.readers.kinds import HEAD_BYTES
from pipelines.inputs.rows import UnreadableFile

# The bytes of a range.
RANGE_BYTES = 64 << 20
_BLOCK = 1 << 20
_RANGES = "ranges"


class Spread(beam.PTransform):  # type: ignore[misc]
    """`DataFile` -> `DataFile`: files and parts of files, shared out to all workers."""

    def __init__(self, options: InputOptions) -> None:
        super().__init__()
        self._options = options

    def expand(self, files: Any) -> Any:
        """Cut, count and shuffle."""
        cut = files | "Cut" >> beam.ParDo(_CutFn(self._options)).with_outputs(_RANGES, main="parts")
        numbered = (
            cut[_RANGES]
            | "SpreadRanges" >> beam.Reshuffle()
            | "CountLines" >> beam.Map(_counted)
            | "ByFile" >> beam.GroupByKey()
            | "Number" >> beam.FlatMapTuple(_numbered)
        )
        return (cut.parts, numbered) | beam.Flatten() | "SpreadParts" >> beam.Reshuffle()


class _CutFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, options: InputOptions) -> None:
        self._options = options

    def process(self, file: DataFile) -> Iterator[Any]:
        ranges, parts = _cut(file, self._options)
        for each in ranges:
            yield beam.pvalue.TaggedOutput(_RANGES, each)
        yield from parts


def _cut(file: DataFile, options: InputOptions) -> tuple[list[DataFile], list[DataFile]]:
    """Return the ranges of `file`, whose lines must be counted, or its parts."""
    try:
        format = FORMATS[format_name(file.path, options)]
        if not format.has_lines:
            return [], format.parts(file) or [file]
        is_large = file.size > RANGE_BYTES and options.encoding is None and is_plain(file.path)
        return (_ranges(file), []) if is_large and _is_sound(file, options) else ([], [file])
    except (DamagedFile, UnreadableFile):
        return [], [file]  # its reader says what is wrong


def _is_sound(file: DataFile, options: InputOptions) -> bool:
    """Return whether `file` begins like its format; the reader of the whole file says why not.

    Readers of its ranges would refuse it line by line.
    """
    with opened(file.path) as opened_file:
        head = opened_file.read(HEAD_BYTES)
    return not FORMATS[format_name(file.path, options)].fault(head, options)


def _ranges(file: DataFile) -> list[DataFile]:
    starts = range(0, file.size, RANGE_BYTES)
    return [file._replace(start=at, end=min(at + RANGE_BYTES, file.size)) for at in starts]


def _counted(part: DataFile) -> tuple[str, tuple[DataFile, int]]:
    """Return the range with its number of newlines, under the path of its file."""
    newlines, left = 0, (part.end or 0) - part.start
    with FileSystems.open(part.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.seek(part.start)
        while left > 0 and (data := file.read(min(left, _BLOCK))):
            newlines += data.count(b"\n")
            left -= len(data)
    return part.path, (part, newlines)


def _numbered(_: str, ranges: Iterable[tuple[DataFile, int]]) -> Iterator[DataFile]:
    """Yield the ranges of a file with the numbers of their first lines."""
    before = 0
    for part, newlines in sorted(ranges, key=lambda counted: counted[0].start):
        yield part._replace(first=before + 1)
        before += newlines
