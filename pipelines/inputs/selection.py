"""A part of the input: its first rows, or a random sample of all, for a trial before the whole job.

Both are the same rows each time the input is read. So the whole job resumes from the journal of the
trial, and pays only for the other rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nsmallest
from itertools import islice
from typing import Any

import apache_beam as beam

from pipelines.inputs.file_rows import FileRows
from pipelines.inputs.rows import Line


@dataclass(frozen=True)
class Selection:
    """At most `limit` rows from the beginning, or `sample` rows from anywhere; None for all."""

    limit: int | None = None
    sample: int | None = None

    def count(self, format: Any, locations: Sequence[str]) -> int | None:
        """Return the number of rows of this part, None if it is unknown."""
        rows: int | None = format.count(locations, self.limit or self.sample)
        return rows

    def lines(self, lines: Iterable[Line]) -> Iterable[Line]:
        """Return this part of all `lines` of the input, without a job."""
        if self.sample is not None:
            return nsmallest(self.sample, lines, key=_rank)
        return islice(lines, self.limit)

    def read(
        self, root: Any, format: Any, locations: Sequence[str], columns: Sequence[str] | None
    ) -> Any:
        """Return the rows as `InputFormat.read` does; a limit needs files.

        One worker reads the first rows. All workers read the rows of which a sample is made.
        """
        if self.limit is not None:
            first = _FirstFn(format, tuple(locations), columns, self.limit)
            return root | "Once" >> beam.Create([None]) | "ReadFirst" >> beam.ParDo(first)
        lines = format.read(root, locations, columns)
        if self.sample is None:
            return lines
        least = beam.combiners.Top.Smallest(self.sample, key=_rank)
        return lines | "Sample" >> least | "EachOfSample" >> beam.FlatMap(list)


class _FirstFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self,
        format: FileRows,
        locations: tuple[str, ...],
        columns: Sequence[str] | None,
        limit: int,
    ) -> None:
        self._format = format
        self._locations = locations
        self._columns = columns
        self._limit = limit

    def process(self, _: None) -> Iterator[Line]:
        lines = self._format.lines(self._locations, self._columns)
        return islice(lines, self._limit)


def _rank(line: Line) -> bytes:
    """Return a number of a row that has nothing to do with its place; unreadable ones come first.

    They must fail, whatever the sample is.
    """
    name = f"{line.name}:{line.number}".encode(errors="surrogatepass")
    return b"" if line.is_rest else blake2b(name, digest_size=16).digest()
