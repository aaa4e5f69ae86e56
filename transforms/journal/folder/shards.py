"""Files of records in a folder on any Beam filesystem: written whole or not at all.

They are read leniently: what can be read of a damaged one is used.
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

_AS_IT_IS = CompressionTypes.UNCOMPRESSED  # Beam's own unzipping gives nothing of a damaged file
_AT_ONCE = 64  # a remote store takes tens of milliseconds to open a file
_LOT = 128
_DAMAGED = "damaged-"


@dataclass(frozen=True, slots=True)
class Shard:
    """One file: its number, its rows packed by ROW, what they cost; its lines if it was read."""

    number: int
    rows: bytes
    spent: Spent
    lines: Sequence[bytes] | None = None


class Shards:
    """The files of one folder; raises JournalUnavailable when the filesystem fails.

    Each file that was written or read here has a number: later ones have greater ones.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._ours = f"{os.getpid()}-{uuid4().hex[:12]}"
        self._written = count(1)
        self._names: list[str] = []
        self._numbering = threading.Lock()
        self._seen: set[str] = set()
        with _explained(folder):
            if not FileSystems.exists(folder):
                FileSystems.mkdirs(folder)

    def write(self, records: list[Record]) -> Shard:
        """Write one more file; other processes see all of it or none."""
        name = f"part-{self._ours}-{next(self._written):06}.jsonl.gz"
        hidden = self._path(f"unfinished-{name}")
        self._seen.add(name)
        with _explained(self._folder):
            with FileSystems.create(hidden, compression_type=_AS_IT_IS) as file:
                file.write(to_file(records))
            FileSystems.rename([hidden], [self._path(name)])
        return Shard(self._numbered(name), rows_of(records), spent_on(records))

    def unread(self) -> Iterator[list[Shard]]:
        """Yield, some at a time, the files that were not seen or written here before.

        Their index is enough; one without is read as a whole.
        """
        with _explained(self._folder), ThreadPoolExecutor(_AT_ONCE) as readers:
            new = [found for found in self._listed() if _original(found[0]) not in self._seen]
            for start in range(0, len(new), _LOT):
                names, sizes = zip(*new[start : start + _LOT], strict=True)
                glances = zip(names, readers.map(self._glance, names, sizes), strict=True)
                yield [self._shard(name, seen) for name, seen in glances if seen is not None]
                self._seen.update(map(_original, names))

    def fetch(self, number: int) -> Shard:
        """Return file `number` with its lines; under a new number if it was damaged meanwhile."""
        name = self._names[number]
        with _explained(self._folder):
            for held in (name, _DAMAGED + name):  # another process may have put it aside
                if (data := self._read(held)) is not None:
                    return self._whole(held, data, number)
        _log.warning("%s is gone: its answers are asked again", self._path(name))
        return Shard(number, b"", NOTHING, [])

    def _listed(self) -> list[tuple[str, int]]:
        """Return names and sizes of all files, by name."""
        patterns = [self._path("part-*.jsonl.gz"), self._path(f"{_DAMAGED}part-*.jsonl.gz")]
        found = FileSystems.match(patterns)
        files = [file for matched in found for file in matched.metadata_list]
        return sorted((FileSystems.split(file.path)[1], file.size_in_bytes) for file in files)

    def _glance(self, name: str, size: int) -> Head | bytes | None:
        """Return the index of a file, or all of a file that has none or is not whole."""
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
            return None  # it has just been put aside

    def _read(self, name: str) -> bytes | None:
        seen = self._glance(name, -1)
        return seen if isinstance(seen, bytes) else None

    def _shard(self, name: str, seen: Head | bytes) -> Shard:
        if isinstance(seen, Head):
            return Shard(self._numbered(name), seen.rows, seen.spent)
        return self._whole(name, seen)

    def _whole(self, name: str, data: bytes, number: int | None = None) -> Shard:
        """Return a file that was read as a whole; a damaged one is put aside."""
        lines, whole = lines_of(data)
        if whole and number is not None:  # its index holds
            return Shard(number, b"", NOTHING, [line for line in lines if is_completion(line)])
        records = [(record, line) for line in lines if (record := from_line(line)) is not None]
        kept = [line for record, line in records if record.key is not None]
        if not (whole and len(records) == len(lines)) and not name.startswith(_DAMAGED):
            self._put_aside(name, len(kept))
        found = [record for record, _ in records]
        head = head_of(data[:HEAD_BYTES])
        spent = head.spent if head is not None else spent_on(found)
        return Shard(self._numbered(name), rows_of(found), spent, kept)

    def _put_aside(self, name: str, readable: int) -> None:
        """Give a damaged file a name that says so; its sound lines are read under that name."""
        aside = self._path(_DAMAGED + name)
        _log.warning(
            "a file of the journal was damaged: %d completions could be read and are used, its"
            " others are asked again; it is kept as %s",
            readable,
            aside,
        )
        try:
            FileSystems.rename([self._path(name)], [aside])
        except Exception as error:  # another process was faster, or we may only read
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
    """Turn whatever a filesystem raises into JournalUnavailable."""
    try:
        yield
    except JournalUnavailable:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise JournalUnavailable(f"the journal {folder} cannot be used: {reason}") from error
