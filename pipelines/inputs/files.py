"""Files of rows, line by line, with the place of each; duplicate ids are found on the way."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from pipelines import bigquery
from pipelines.inputs import bigquery as inputs_bigquery
from pipelines.inputs.columns import Unsaid, warning
from pipelines.inputs.numbering import Parsed, duplicate, shuffled
from pipelines.inputs.rows import Line, read
from pipelines.inputs.unique_ids import SeenIds
from transforms.elements import DeadLetter, Prompt

PROMPTS = "prompts"
DEAD_LETTERS = "dead_letters"
ROWS = "rows"
UNUSED = "unused_columns"

_log = logging.getLogger("pipelines")


class Read(NamedTuple):
    """What came of an input; a column that looks like a parameter and is not sent comes often."""

    prompts: Any
    dead_letters: Any
    unused_columns: Any


class ReadPrompts(beam.PTransform):  # type: ignore[misc]
    """Read JSON lines from `pattern` (any Beam filesystem, globs, compressed), or a table's rows.

    With `spread` the rows are shuffled by id over all workers, which also finds duplicate ids
    wherever they are; without, everything stays fused in one process and nothing is held in memory.

    The journal knows a row without an id of its own by what it asks and by its number among the
    rows that ask the same, so that it may move to another line or file. Which of them has which
    number may differ between runs: only how many there are counts.
    """

    def __init__(self, pattern: str, spread: bool) -> None:
        super().__init__()
        self._pattern = pattern
        self._spread = spread

    def expand(self, root: Any) -> Read:
        """Match, read, parse, let each id through once, and number equal rows."""
        is_table = self._pattern.startswith(bigquery.PREFIX)
        lines = self._rows_of_table(root) if is_table else self._lines_of_files(root)
        read = lines | "ParseRows" >> beam.ParDo(_ParseFn()).with_outputs(UNUSED, main=ROWS)
        # Rows of a table have no place that would tell a bundle's retry from a duplicate.
        if self._spread or is_table:
            once = shuffled(read[ROWS])
        else:
            once = read[ROWS] | "FirstOfEachId" >> beam.ParDo(_FirstOfEachIdFn())
        found = once | "SortOut" >> beam.FlatMap(_sorted_out).with_outputs(
            DEAD_LETTERS, main=PROMPTS
        ).with_output_types(Prompt)
        return Read(found[PROMPTS], found[DEAD_LETTERS], read[UNUSED])

    def _rows_of_table(self, root: Any) -> Any:
        return root | "ReadTable" >> inputs_bigquery.ReadTable(bigquery.parse(self._pattern))

    def _lines_of_files(self, root: Any) -> Any:
        return (
            root
            | "Pattern" >> beam.Create([self._pattern])
            | "MatchFiles" >> beam.FlatMap(_matched)
            | "OpenFiles" >> fileio.ReadMatches()
            | "ReadLines" >> beam.ParDo(_ReadLinesFn(_folder(self._pattern)))
        )


def _matched(pattern: str) -> list[Any]:
    """Return the files by name: which of two equal ids is first must not be the disk's choice."""
    found = FileSystems.match([pattern])[0].metadata_list
    return sorted(found, key=lambda file: str(file.path))


class _ReadLinesFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, file: Any) -> Iterator[Line]:
        path = file.metadata.path
        name = path.removeprefix(self._folder)
        with file.open(compression_type=CompressionTypes.AUTO) as raw:
            # Only newlines end a row: JSON may hold U+2028 and its like as they are.
            text = io.TextIOWrapper(
                io.BufferedReader(_Readable(raw)), "utf-8-sig", "replace", newline="\n"
            )
            for number, line in enumerate(text, 1):
                line = line.rstrip("\r\n")
                if line.strip():
                    yield Line(path, name, number, line)


class _Readable(io.RawIOBase):
    """A Beam file as the raw stream that Python's text layer wants."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _ParseFn(beam.DoFn):  # type: ignore[misc]
    """Yields each line with what it holds; says once of a column that it is not sent."""

    def __init__(self) -> None:
        self._shared = Shared()

    def setup(self) -> None:
        self._unsaid: Unsaid = self._shared.acquire(Unsaid)

    def process(self, line: Line) -> Iterator[Any]:
        found = read(line, by_content=True)
        for column in self._unsaid.take(found.unused):
            _log.warning(warning(column))
            yield beam.pvalue.TaggedOutput(UNUSED, column)
        yield line, found.row


def _sorted_out(row: Prompt | DeadLetter) -> Iterator[Any]:
    yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row) if isinstance(row, DeadLetter) else row


class _FirstOfEachIdFn(beam.DoFn):  # type: ignore[misc]
    """Lets each id through once, within one process."""

    def __init__(self) -> None:
        self._shared = Shared()

    def setup(self) -> None:
        self._ids: SeenIds = self._shared.acquire(SeenIds)

    def process(self, parsed: Parsed) -> Iterator[Prompt | DeadLetter]:
        line, row = parsed
        if isinstance(row, DeadLetter):
            yield row
        elif number := self._ids.claim(row.id, line.place, row.key):
            yield row if row.key is None else row._replace(key=f"{row.key}:{number}")
        else:
            yield duplicate(row.id, line)


def _folder(pattern: str) -> str:
    """Return the part of `pattern` that all files share, up to the last slash before a wildcard."""
    fixed = pattern[: min([pattern.find(c) for c in "*?[" if c in pattern], default=len(pattern))]
    return fixed[: fixed.rfind("/") + 1]
