"""Files of rows, line by line, with the place of each; duplicate ids are found on the way."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from pipelines import bigquery
from pipelines.rows import Line, parse, unusable
from transforms.elements import DeadLetter, Prompt

PROMPTS = "prompts"
DEAD_LETTERS = "dead_letters"


class ReadPrompts(beam.PTransform):  # type: ignore[misc]
    """Read JSON lines from `pattern` (any Beam filesystem, globs, compressed), or a table's rows.

    Returns `.prompts` and `.dead_letters`. With `spread` the rows are shuffled by id over all
    workers, which also finds duplicate ids wherever they are; without, everything stays fused in
    one process and nothing is held in memory.
    """

    def __init__(self, pattern: str, spread: bool) -> None:
        super().__init__()
        self._pattern = pattern
        self._spread = spread

    def expand(self, root: Any) -> Any:
        """Match, read, parse, and let each id through once."""
        is_table = self._pattern.startswith(bigquery.PREFIX)
        lines = self._rows_of_table(root) if is_table else self._lines_of_files(root)
        rows = lines | "ParseRows" >> beam.Map(_parsed)
        # Rows of a table have no place that would tell a bundle's retry from a duplicate.
        if self._spread or is_table:
            once = rows | "ById" >> beam.GroupBy(_id) | "FirstOfEachId" >> beam.FlatMapTuple(_first)
        else:
            once = rows | "FirstOfEachId" >> beam.ParDo(_FirstOfEachIdFn())
        return once | "SortOut" >> beam.FlatMap(_sorted_out).with_outputs(
            DEAD_LETTERS, main=PROMPTS
        ).with_output_types(Prompt)

    def _rows_of_table(self, root: Any) -> Any:
        return root | "ReadTable" >> bigquery.ReadTable(bigquery.parse(self._pattern))

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


Parsed = tuple[Line, Prompt | DeadLetter]


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


def _parsed(line: Line) -> Parsed:
    return line, parse(line)


def _id(parsed: Parsed) -> str:
    return parsed[1].id


def _first(id: str, rows: Iterable[Parsed]) -> Iterator[Prompt | DeadLetter]:
    first, *others = sorted(rows, key=lambda parsed: (parsed[0].path, parsed[0].number))
    yield first[1]
    for line, _ in others:
        yield _duplicate(id, line)


def _duplicate(id: str, line: Line) -> DeadLetter:
    return unusable(id, line, "DuplicateIdError", f"the id {id!r} stands in an earlier row")


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
        if isinstance(row, Prompt) and not self._ids.claim(row.id, line.place):
            yield _duplicate(row.id, line)
        else:
            yield row


# So many ids are at hand before they go to disk: a statement for each row costs more than the row.
_AT_HAND = 20_000


class SeenIds:
    """The ids seen so far, the older ones in a temporary file: a billion of them need no memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[bytes, str] = {}
        self._has_older = False
        # "" is a private database on disk that goes away with the connection.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, place TEXT) WITHOUT ROWID")

    def claim(self, id: str, place: str) -> bool:
        """Return whether `id` is new, or was claimed by the same `place` (a bundle's retry)."""
        digest = hashlib.blake2b(id.encode(), digest_size=16).digest()
        with self._lock:
            known = self._newest.get(digest) or self._older(digest)
            if known is not None:
                return known == place
            self._newest[digest] = place
            if len(self._newest) >= _AT_HAND:
                self._put_away()
            return True

    def _older(self, digest: bytes) -> str | None:
        if not self._has_older:
            return None
        row = self._db.execute("SELECT place FROM ids WHERE id = ?", (digest,)).fetchone()
        return None if row is None else str(row[0])

    def _put_away(self) -> None:
        """Move what is at hand to the disk, in its order there: that touches each page once."""
        rows = sorted(self._newest.items())
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", rows)
        self._db.execute("COMMIT")
        self._newest.clear()
        self._has_older = True

    def __del__(self) -> None:
        self._db.close()


def _folder(pattern: str) -> str:
    """Return the part of `pattern` that all files share, up to the last slash before a wildcard."""
    fixed = pattern[: min([pattern.find(c) for c in "*?[" if c in pattern], default=len(pattern))]
    return fixed[: fixed.rfind("/") + 1]
