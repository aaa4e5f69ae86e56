"""Values of megabytes, sound and damaged: they are kept, and damage takes no gigabyte."""

from __future__ import annotations

import contextlib
import random
import struct
import tracemalloc
import zlib

import pytest
from journals import keep, key, open_at, value

from transforms.journal.base import NOTHING, Record, Spent, unpack
from transforms.journal.folder.format import lines_of, to_file
from transforms.journal.group_commit import GroupCommit
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.journal.sqlite.salvage import salvage
from transforms.journal.sqlite.table import PAGE_SIZE, Table

MIB = 1 << 20


def compressed_zeros(mebibytes, wbits=zlib.MAX_WBITS):
    """Return few bytes that decompress to many."""
    zip = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(zip.compress(b"\0" * MIB) for _ in range(mebibytes)) + zip.flush()


@contextlib.contextmanager
def at_most(mebibytes):
    """Fail if the block holds more memory than this at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()


def test_a_stored_value_that_decompresses_to_more_than_the_limit_is_damaged():
    stored = compressed_zeros(200)
    assert len(stored) < MIB
    with at_most(150), pytest.raises(ValueError, match="larger than 64 MiB"):
        unpack(stored)


def test_a_stored_value_that_is_cut_off_is_damaged():
    whole = zlib.compress(value("x" * 1000))
    with pytest.raises(ValueError, match="cut off"):
        unpack(whole[:-1])


def test_a_file_of_the_folder_journal_is_read_up_to_a_limit():
    with at_most(350):
        lines, whole = lines_of(compressed_zeros(200, 31))
    assert not whole
    assert sum(map(len, lines)) == 128 * MIB


@pytest.mark.parametrize("kind", ["sqlite", "folder"])
def test_a_sound_value_of_megabytes_is_found_again(tmp_path, kind):
    large = value(random.Random(1).randbytes(5 * MIB).hex())
    place = str(tmp_path / "journal")
    with contextlib.closing(open_at(kind, place)) as journal:
        keep(journal, (key("large"), large), (key("small"), value()))
    with contextlib.closing(open_at(kind, place, "another run")) as journal:
        assert journal.lookup(key("large")) == large
        assert journal.lookup(key("small")) == value()


def test_many_large_values_of_a_damaged_file_are_copied_some_at_a_time(tmp_path):
    path = tmp_path / "journal.sqlite"
    large = [random.Random(number).randbytes(2 * MIB) for number in range(30)]
    with contextlib.closing(Table(str(path))) as table:
        for number, stored in enumerate(large):
            table.put([Record(key(f"{number}"), stored, Spent(1))])
    content = bytearray(path.read_bytes())
    content[:16] = bytes(16)  # the magic of the file
    path.write_bytes(content)
    with at_most(30):
        journal = SqliteJournal(str(path), "a run")
    with contextlib.closing(journal):
        assert journal.spent() == Spent(30)


# A record of this size has 489 bytes on its leaf page; the rest is in overflow pages.
ON_LEAF, SIZE = 489, 489 + 1100 * (PAGE_SIZE - 4)


def leaf(cells):
    """Return a leaf page of `cells` cells, all at one place: a record of SIZE bytes, so it says.

    The header of the record claims columns without end; the overflow chain begins at page 2.
    """
    record = varint(SIZE) + bytes(ON_LEAF - 5)
    cell = varint(SIZE) + b"\1" + record + struct.pack(">I", 2)
    start = PAGE_SIZE - len(cell)
    head = struct.pack(">BHHHB", 0x0D, 0, cells, start, 0) + struct.pack(">H", start) * cells
    return head.ljust(start, b"\0") + cell


def varint(number):
    groups = [number >> 7 * place & 0x7F for place in range(4, -1, -1)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def test_junk_that_claims_records_of_megabytes_is_not_read(tmp_path):
    path = tmp_path / "journal.sqlite"
    pages = 1200
    chain = b"".join(struct.pack(">I", n + 1).ljust(PAGE_SIZE, b"\0") for n in range(2, pages))
    path.write_bytes(leaf(cells=2) + chain)
    with at_most(1):
        assert list(salvage(str(path))) == []


def test_a_group_of_records_is_full_after_some_megabytes():
    groups = []
    commit = GroupCommit(lambda records: groups.append(len(records)), linger=3600, quiet=3600)
    written = [commit.put(Record(key(f"{n}"), bytes(20 * MIB), NOTHING)) for n in range(2)]
    written[0].result(timeout=120)  # though the group might wait for an hour
    commit.close()
    assert groups == [2]


def test_a_whole_file_is_read_as_its_lines():
    records = [Record(key(f"{n}"), value(f"{n}"), NOTHING) for n in range(3)]
    lines, whole = lines_of(to_file(records))
    assert whole
    assert len(lines) == 4  # the index is the first
