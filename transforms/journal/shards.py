"""Files of records in a folder on any Beam filesystem: written whole or not at all, read leniently.

A file holds zipped lines of JSON; each line begins with a checksum of its rest, so that a damaged
file gives its sound lines and no others.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from uuid import uuid4

import orjson
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.journal.base import JournalUnavailable, Record, Spent
from transforms.journal.keys import JournalKey

_log = logging.getLogger("transforms.journal")

_AS_IT_IS = CompressionTypes.UNCOMPRESSED  # Beam's own unzipping gives nothing of a damaged file
_AT_ONCE = 16  # a remote store takes tens of milliseconds to open a file
_PIECE = 512
_VALUE = b',"value":'
_DAMAGED = "damaged-"


class Shards:
    """The files of one folder; raises JournalUnavailable when the filesystem fails."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._ours = f"{os.getpid()}-{uuid4().hex[:12]}"
        self._numbers = count(1)
        self._seen: set[str] = set()
        with _explained(folder):
            if not FileSystems.exists(folder):
                FileSystems.mkdirs(folder)

    def write(self, records: list[Record]) -> None:
        """Write one more file; other processes see all of it or none."""
        name = f"part-{self._ours}-{next(self._numbers):06}.jsonl.gz"
        hidden = self._path(f"unfinished-{name}")
        self._seen.add(name)
        with _explained(self._folder):
            with FileSystems.create(hidden, compression_type=_AS_IT_IS) as file:
                file.write(_zipped(b"".join(map(to_line, records))))
            FileSystems.rename([hidden], [self._path(name)])

    def unread(self) -> Iterator[list[Record]]:
        """Yield the records of each file that was not read or written here before."""
        with _explained(self._folder), ThreadPoolExecutor(_AT_ONCE) as readers:
            names = [name for name in self._names() if _original(name) not in self._seen]
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                for name, found in zip(some, readers.map(self._text, some), strict=True):
                    if found is not None:
                        yield self._records(name, *found)
                        self._seen.add(_original(name))

    def _names(self) -> list[str]:
        patterns = [self._path("part-*.jsonl.gz"), self._path(f"{_DAMAGED}part-*.jsonl.gz")]
        found = FileSystems.match(patterns)
        paths = [file.path for matched in found for file in matched.metadata_list]
        return sorted(FileSystems.split(path)[1] for path in paths)

    def _text(self, name: str) -> tuple[bytes, bool] | None:
        """Return what a file says, and whether that is all; None if it has just been put aside."""
        try:
            with FileSystems.open(self._path(name), compression_type=_AS_IT_IS) as file:
                return _unzipped(file.read())
        except Exception:
            if FileSystems.exists(self._path(name)):
                raise
            return None

    def _records(self, name: str, text: bytes, whole: bool) -> list[Record]:
        lines = text.splitlines()
        found = [record for line in lines if (record := from_line(line)) is not None]
        if not (whole and len(found) == len(lines)) and not name.startswith(_DAMAGED):
            self._put_aside(name, len(found))
        return found

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

    def _path(self, name: str) -> str:
        return str(FileSystems.join(self._folder, name))


def to_line(record: Record) -> bytes:
    """Return `record` as a line."""
    id, request = record.key or (None, None)
    spent = record.spent
    head = orjson.dumps({"id": id, "request": request, "tokens": spent.tokens, "usd": spent.usd})
    value = record.value.replace(b"\n", b" ") or b"null"  # JSON's own line breaks are escaped
    rest = head[1:-1] + _VALUE + value + b"}"
    return b'{"crc":%d,%s\n' % (zlib.crc32(rest), rest)


def from_line(line: bytes) -> Record | None:
    """Return the record of `line`, or None if it was damaged."""
    head, _, rest = line.partition(b",")
    if head != b'{"crc":%d' % zlib.crc32(rest):
        return None
    at = rest.index(_VALUE)  # not inside a string: quotes are escaped there
    fields = orjson.loads(b"{" + rest[:at] + b"}")
    spent = Spent(fields["tokens"], fields["usd"])
    if fields["id"] is None:
        return Record(None, b"", spent)
    key = JournalKey(fields["id"], fields["request"])
    return Record(key, rest[at + len(_VALUE) : -1], spent)


def _zipped(text: bytes) -> bytes:
    zip = zlib.compressobj(1, zlib.DEFLATED, 31)
    return zip.compress(text) + zip.flush()


def _unzipped(data: bytes) -> tuple[bytes, bool]:
    """Return what can be unzipped of `data`, and whether that is all."""
    try:
        return zlib.decompress(data, 31), True
    except zlib.error:
        return b"".join(_unzipped_pieces(data)), False


def _unzipped_pieces(data: bytes) -> Iterator[bytes]:
    """Yield what comes before the damage: an error takes the rest of its piece with it."""
    unzip = zlib.decompressobj(31)
    try:
        for start in range(0, len(data), _PIECE):
            yield unzip.decompress(data[start : start + _PIECE])
    except zlib.error:
        return


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
