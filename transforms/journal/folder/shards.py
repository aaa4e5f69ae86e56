"""The files of a folder journal, on any Beam filesystem.

A file is written under a hidden name and then renamed, so other processes see all of it or nothing.
A damaged file is renamed to `damaged-...`, and its sound lines are used. Several processes may do
this at once, so each step expects that another process was faster.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.journal.base import NOTHING, JournalUnavailable, Record, Spent
from transforms.journal.folder.format import (
    HEAD_BYTES,
    Head,
    from_line,
    head_of,
    is_completion,
    lines_of,
    rows_of,
    spent_on,
    to_file,
)

_log = logging.getLogger("transforms.journal")

# Files are read as bytes, because Beam's own decompression yields nothing of a damaged file.
_AS_IT_IS = CompressionTypes.UNCOMPRESSED
_AT_ONCE = 64  # files opened at once: a remote store takes tens of milliseconds for each
_GROUP = 128  # files yielded at a time
_DAMAGED = "damaged-"


@dataclass(frozen=True, slots=True)
class Shard:
    """One file: its number, its rows packed by ROW, their cost, and its lines if it was read."""

    number: int
    rows: bytes
    spent: Spent
    lines: Sequence[bytes] | None = None


class Shards:
    """The files of one folder; raises JournalUnavailable when the filesystem fails.

    Each file that this process writes or reads gets a number; later files get greater numbers.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process = f"{os.getpid()}-{uuid4().hex[:12]}"
        self._written = count(1)
        self._names: list[str] = []
        self._numbering = threading.Lock()
        self._seen: set[str] = set()
        with _explained(folder):
            if not FileSystems.exists(folder):
                FileSystems.mkdirs(folder)

    def write(self, records: list[Record]) -> Shard:
        """Write one more file; other processes see all of it or nothing."""
        name = f"part-{self._process}-{next(self._written):06}.jsonl.gz"
        hidden = self._path(f"unfinished-{name}")
        self._seen.add(name)
        with _explained(self._folder):
            with FileSystems.create(hidden, compression_type=_AS_IT_IS) as file:
                file.write(to_file(records))
            FileSystems.rename([hidden], [self._path(name)])
        return Shard(self._numbered(name), rows_of(records), spent_on(records))

    def unread(self) -> Iterator[list[Shard]]:
        """Yield the files that this process has neither read nor written before, some at a time.

        Only their index is read; a file without an index is read as a whole.
        """
        with _explained(self._folder), ThreadPoolExecutor(_AT_ONCE) as readers:
            new = [found for found in self._listed() if _original(found[0]) not in self._seen]
            for start in range(0, len(new), _GROUP):
                names, sizes = zip(*new[start : start + _GROUP], strict=True)
                glances = zip(names, readers.map(self._glance, names, sizes), strict=True)
                yield [self._shard(name, seen) for name, seen in glances if seen is not None]
                self._seen.update(map(_original, names))

    def fetch(self, number: int) -> Shard:
        """Return file `number` with its lines; under a new number if it has been damaged since."""
        name = self._names[number]
        with _explained(self._folder):
            for held in (name, _DAMAGED + name):  # another process may have renamed it
                if (data := self._read(held)) is not None:
                    return self._whole(held, data, number)
        _log.warning("%s has disappeared; its requests will be sent again", self._path(name))
        return Shard(number, b"", NOTHING, [])

    def _listed(self) -> list[tuple[str, int]]:
        """Return names and sizes of all files, sorted by name."""
        patterns = [self._path("part-*.jsonl.gz"), self._path(f"{_DAMAGED}part-*.jsonl.gz")]
        found = FileSystems.match(patterns)
        files = [file for matched in found for file in matched.metadata_list]
        return sorted((FileSystems.split(file.path)[1], file.size_in_bytes) for file in files)

    def _glance(self, name: str, size: int) -> Head | bytes | None:
        """Return the index of a file, or the whole file if it has no index or the wrong size."""
        try:
            with self._open(name) as file:
                begin: bytes = file.read(HEAD_BYTES)
                head = head_of(begin)
                if head is not None and head.size == size:
                    return head
                return begin + bytes(file.read())
        except Exception:
            if FileSystems.exists(self._path(name)):
                raise
            return None  # another process has just renamed it

    def _read(self, name: str) -> bytes | None:
        seen = self._glance(name, -1)
        return seen if isinstance(seen, bytes) else None

    def _shard(self, name: str, seen: Head | bytes) -> Shard:
        if isinstance(seen, Head):
            return Shard(self._numbered(name), seen.rows, seen.spent)
        return self._whole(name, seen)

    def _whole(self, name: str, data: bytes, number: int | None = None) -> Shard:
        """Return a file that was read as a whole; a damaged one is renamed."""
        lines, whole = lines_of(data)
        if whole and number is not None:  # the rows in its index are right
            return Shard(number, b"", NOTHING, [line for line in lines if is_completion(line)])
        records = [(record, line) for line in lines if (record := from_line(line)) is not None]
        kept = [line for record, line in records if record.key is not None]
        if not (whole and len(records) == len(lines)) and not name.startswith(_DAMAGED):
            self._rename_damaged(name, len(kept))
        found = [record for record, _ in records]
        head = head_of(data[:HEAD_BYTES])
        spent = head.spent if head is not None else spent_on(found)
        return Shard(self._numbered(name), rows_of(found), spent, kept)

    def _rename_damaged(self, name: str, readable: int) -> None:
        """Rename a damaged file to `damaged-...`; its sound lines are read under that name."""
        renamed = self._path(_DAMAGED + name)
        _log.warning(
            "a file of the journal is damaged: %d completions could be read and are used, the"
            " other requests will be sent again; the file is kept as %s",
            readable,
            renamed,
        )
        try:
            FileSystems.rename([self._path(name)], [renamed])
        except Exception as error:  # another process was faster, or the folder is read-only
            _log.debug("%s was not renamed: %s", name, error)

    def _numbered(self, name: str) -> int:
        with self._numbering:
            self._names.append(_original(name))
            return len(self._names) - 1

    def _open(self, name: str) -> Any:
        return FileSystems.open(self._path(name), compression_type=_AS_IT_IS)

    def _path(self, name: str) -> str:
        return str(FileSystems.join(self._folder, name))


def _original(name: str) -> str:
    return name.removeprefix(_DAMAGED)


@contextmanager
def _explained(folder: str) -> Iterator[None]:
    """Turn any error of a filesystem into JournalUnavailable."""
    try:
        yield
    except JournalUnavailable:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise JournalUnavailable(f"the journal {folder} cannot be used: {reason}") from error
