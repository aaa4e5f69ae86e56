"""Reads completions from a damaged SQLite file, page by page, without its b-trees.

The problem: SQLite stops at a broken b-tree page, and all rows behind it are lost, though their
pages are intact. Each of them was paid for. SQLite's own remedy is `.recover`, but that is a
command of its shell, a separate program that most machines do not have. Python's `sqlite3` module
has neither the recovery extension nor the `sqlite_dbpage` table that it needs. Besides, `.recover`
guesses which table a lost row belongs to, and cannot tell a damaged value from a sound one.

The idea: rows are in table leaf pages, and a leaf page describes itself. So this module reads every
page of the file that looks like a leaf (https://www.sqlite.org/fileformat.html, section 1.6) and
decodes its cells. The newest image of a page may be in the write-ahead log (section 4).

What holds: each row carries a checksum of all its columns (`table.is_sealed`). Bytes that only
look like a row, or a row with a flipped bit, are dropped. So every yielded row is right; at worst a
row is missing, and its request is sent again. An old image of a row is still a sound completion.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

from transforms.journal.base import Record, Spent
from transforms.journal.key import JournalKey
from transforms.journal.sqlite.table import PAGE_SIZE, is_sealed

_LEAF, _LEAF_HEADER = 0x0D, 8
_WAL_HEADER, _FRAME_HEADER = 32, 24
# The size of the database in a frame that does not end a transaction.
_WITHIN = bytes(4)
# A header has a size and six types, of nine bytes at most.
_MOST_HEADER = 63
_INTEGER_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}


def salvage(path: str) -> Iterator[Record]:
    """Yield every completion that can be read in the database at `path` and in its WAL."""
    with Pages(path) as pages:
        for number in pages.numbers():
            yield from rows_in(pages, pages.read(number))


class Pages:
    """The newest image of each page, from the WAL or the file.

    `in_log` has the pages in the WAL, and where their last images begin. `log_end` is where the
    last transaction in the WAL begins, `salt` what the WAL gets anew each time it begins again.
    `whole` is the number of pages in the file, and `identity` its inode.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        self._wal = open(f"{path}-wal", "rb") if os.path.exists(f"{path}-wal") else None  # noqa: SIM115
        self.salt, self.log_end = b"", 0
        self.in_log: dict[int, int] = {}
        if self._wal:
            self._read_log(self._wal)
        status = os.fstat(self._file.fileno())
        self.identity = status.st_ino
        self.whole = -(-status.st_size // PAGE_SIZE)

    def __len__(self) -> int:
        return self.whole + len(self.in_log)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all pages."""
        grown = sorted(number for number in self.in_log if number > self.whole)
        return chain(range(1, self.whole + 1), grown)

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._wal:
            self._wal.close()

    def read(self, number: int) -> bytes:
        """Return page `number`, counted from 1; it may be short, or empty."""
        if number < 1:
            return b""
        if self._wal and number in self.in_log:
            self._wal.seek(self.in_log[number])
            return self._wal.read(PAGE_SIZE)
        self._file.seek((number - 1) * PAGE_SIZE)
        return self._file.read(PAGE_SIZE)

    def _read_log(self, wal: BinaryIO) -> None:
        """Find the frames of the WAL.

        Frames with another salt than the header are left over from an earlier use of the WAL.
        """
        self.salt = wal.read(_WAL_HEADER)[16:24]
        begin = 0  # of the transaction
        while len(header := wal.read(_FRAME_HEADER)) == _FRAME_HEADER:
            if header[8:16] == self.salt:
                self.in_log[int.from_bytes(header[:4], "big")] = wal.tell()
                begin = begin or wal.tell()
                if header[4:8] != _WITHIN:
                    self.log_end, begin = begin, 0
            wal.seek(PAGE_SIZE, os.SEEK_CUR)


def rows_in(pages: Pages, page: bytes) -> Iterator[Record]:
    """Yield the completions whose cells are in `page`; none if it is not a leaf."""
    if len(page) > _LEAF_HEADER and page[0] == _LEAF:
        yield from _completions(pages, page)


def _completions(pages: Pages, page: bytes) -> Iterator[Record]:
    (cells,) = struct.unpack_from(">H", page, 3)  # may be junk: a cell takes 4 bytes at least
    for position in range(min(cells, PAGE_SIZE // 4)):
        at = _LEAF_HEADER + 2 * position
        if at + 2 > len(page):
            return
        if (record := row_at(pages, page, page[at] << 8 | page[at + 1])) is not None:
            yield record


def row_at(pages: Pages, page: bytes, start: int) -> Record | None:
    """Return the completion in the cell at `start`; None if it is damaged, or of another table."""
    try:
        return _completion(_columns(_payload(pages, page, start)))
    except (ValueError, TypeError, ArithmeticError, IndexError, struct.error):
        return None


def _completion(columns: list[Any]) -> Record:
    id, request, tokens, usd, value, seal = columns
    usd = float(usd)  # a whole number is stored as one
    if not is_sealed((id, request, tokens, usd, value, seal)):
        raise ValueError("not a completion, or a damaged one")
    return Record(JournalKey(id, request.hex()), value, Spent(tokens, usd))


def _payload(pages: Pages, page: bytes, start: int) -> bytes:
    """Return the payload of the cell at `start`, with that of its overflow pages."""
    size, start = _varint(page, start)
    _, start = _varint(page, start)  # the rowid
    local = _local(size)  # the rest is in a chain of overflow pages
    payload = bytearray(page[start : start + local])
    following = page[start + local : start + local + 4]
    _check_size(bytes(payload), min(size, len(pages) * PAGE_SIZE))
    while len(payload) < size:
        overflow = pages.read(int.from_bytes(following, "big"))
        if len(overflow) < PAGE_SIZE:
            raise ValueError("cut off")
        following = overflow[:4]
        payload += overflow[4 : 4 + size - len(payload)]
    return bytes(payload)


def _local(size: int) -> int:
    """Return how many bytes of a payload are on the leaf page itself."""
    if size <= PAGE_SIZE - 35:
        return size
    least = (PAGE_SIZE - 12) * 32 // 255 - 23
    most = least + (size - least) % (PAGE_SIZE - 4)
    return most if most <= PAGE_SIZE - 35 else least


def _check_size(begin: bytes, size: int) -> None:
    """Raise ValueError unless the record that begins with `begin` has `size` bytes.

    Junk is refused here, before its megabytes of overflow pages are read.
    """
    end, found = kinds(begin)
    if end + sum(map(_bytes_of, found)) != size:
        raise ValueError("not a completion")


def _columns(payload: bytes) -> list[Any]:
    """Return the columns of a record: a header of types, then the values."""
    start, found = kinds(payload)
    columns = []
    for kind in found:
        value, start = _value(payload, start, kind)
        columns.append(value)
    return columns


def kinds(payload: bytes) -> tuple[int, list[int]]:
    """Return the end of the header, and the types of the columns that it lists."""
    end, at = _varint(payload, 0)
    if end > _MOST_HEADER:
        raise ValueError("not a completion")
    found: list[int] = []
    while at < end:
        kind, at = _varint(payload, at)
        found.append(kind)
    return end, found


def _bytes_of(kind: int) -> int:
    if kind in (10, 11):
        raise ValueError("an unknown type")
    return _INTEGER_BYTES.get(kind, 8 if kind == 7 else (kind - 12) // 2)


def _value(payload: bytes, start: int, kind: int) -> tuple[Any, int]:
    size = _bytes_of(kind)
    data = payload[start : start + size]
    if kind >= 12:
        return (data.decode() if kind % 2 else data), start + size
    if kind == 7:
        return struct.unpack(">d", data)[0], start + size
    return (1 if kind == 9 else int.from_bytes(data, "big", signed=True)), start + size


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the variable-length integer at `start`, and the position behind it."""
    number = 0
    for position in range(start, start + 8):
        number = number << 7 | data[position] & 0x7F
        if data[position] < 0x80:
            return number, position + 1
    return number << 8 | data[start + 8], start + 9
