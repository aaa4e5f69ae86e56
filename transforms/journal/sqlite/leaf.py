"""Decodes the rows of whole leaf pages at the speed that readers of a million rows need. Pure.

The problem: `salvage` decodes any page, column by column, with all its checks: 25 us a row.

The idea: the rows of a journal have few different record headers. What a header says of the columns
is computed once, and the columns are then cut out of the page.

What holds: a row is yielded only if its seal is right. A cell that is not as usual (overflow pages,
an unusual type, damage) is decoded by `salvage`, which yields the same rows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from transforms.journal.key import JournalKey
from transforms.journal.reading import Entry
from transforms.journal.sqlite import salvage
from transforms.journal.sqlite.table import PAGE_SIZE

_LEAF, _LEAF_HEADER = 0x0D, 8
_MOST_LOCAL = PAGE_SIZE - 35
_MOST_LAYOUTS = 20_000
_INTEGERS = {8: 0, 9: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_REQUEST = 2 * 16 + 12  # the type of a blob of 16 bytes
_FLOAT = struct.Struct(">d")


class _Layout(NamedTuple):
    """Where the columns of a record are, behind its header, and the types of those that vary."""

    request: int
    tokens: int
    usd: int
    value: int
    seal: int
    end: int
    tokens_type: int
    usd_type: int
    seal_type: int


class Leaves:
    """Finds the entries in `pages`."""

    def __init__(self, pages: salvage.Pages) -> None:
        self._pages = pages
        self._layouts: dict[bytes, _Layout | None] = {}

    def entries(self, page: bytes) -> Iterator[Entry]:
        """Yield the entries whose cells are in `page`; none if it is not a leaf."""
        if len(page) <= _LEAF_HEADER or page[0] != _LEAF:
            return
        cells = min(page[3] << 8 | page[4], PAGE_SIZE // 4)
        for at in range(_LEAF_HEADER, _LEAF_HEADER + 2 * cells, 2):
            if at + 2 > len(page):
                return
            start = page[at] << 8 | page[at + 1]
            try:
                found = self._entry(page, start)
            except (ValueError, IndexError, struct.error):
                found = None
            if found is None:
                found = self._unusual(page, start)
            if found is not None:
                yield found

    def _unusual(self, page: bytes, start: int) -> Entry | None:
        record = salvage.row_at(self._pages, page, start)
        if record is None or record.key is None:
            return None
        return Entry(record.key, record.value)

    def _entry(self, page: bytes, start: int) -> Entry | None:
        """Return the entry of a usual cell, None for another one."""
        size, at = page[start], start + 1
        if size >= 0x80:  # of two bytes, or unusual
            size, at = (size & 0x7F) << 7 | page[at], at + 1
            if page[at - 1] >= 0x80:
                return None
        while page[at] >= 0x80:  # the rowid
            at += 1
        at += 1
        body = at + page[at]
        header = page[at:body]
        try:
            layout = self._layouts[header]
        except KeyError:
            layout = self._new_layout(header)
        if layout is None or size > _MOST_LOCAL or len(header) + layout.end != size:
            return None
        request, tokens, usd, value, seal, end, tokens_type, usd_type, seal_type = layout
        id = page[body : body + request].decode()
        request_id = page[body + request : body + tokens]
        count = int.from_bytes(page[body + tokens : body + usd], "big", signed=True)
        cost = page[body + usd : body + value]
        stored = page[body + value : body + seal]
        check = int.from_bytes(page[body + seal : body + end], "big", signed=True)
        if tokens_type in (8, 9):
            count = tokens_type - 8
        if seal_type in (8, 9):
            check = seal_type - 8
        if usd_type == 7:
            dollars = _FLOAT.unpack(cost)[0]
        else:
            whole = int.from_bytes(cost, "big", signed=True)
            dollars = float(usd_type - 8 if usd_type in (8, 9) else whole)
        begin = zlib.crc32(f"{id} {count} {dollars!r} ".encode() + request_id)
        if zlib.crc32(stored, begin) != check:
            return None
        return Entry(JournalKey(id, request_id.hex()), stored)

    def _new_layout(self, header: bytes) -> _Layout | None:
        layout = _layout(header)
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        self._layouts[header] = layout
        return layout


def _layout(header: bytes) -> _Layout | None:
    """Return the layout of a record of the journal's table, None for an unusual one."""
    end, kinds = salvage.kinds(header)
    if end != len(header) or len(kinds) != 6:
        return None
    id, request, tokens, usd, value, seal = kinds
    is_usual = id >= 13 and id % 2 and request == _REQUEST and value >= 12 and not value % 2
    is_number = tokens in _INTEGERS and seal in _INTEGERS and (usd == 7 or usd in _INTEGERS)
    if not (is_usual and is_number):
        return None
    at_request = (id - 13) // 2
    at_tokens = at_request + 16
    at_usd = at_tokens + _INTEGERS[tokens]
    at_value = at_usd + (8 if usd == 7 else _INTEGERS[usd])
    at_seal = at_value + (value - 12) // 2
    end = at_seal + _INTEGERS[seal]
    places = (at_request, at_tokens, at_usd, at_value, at_seal, end)
    return _Layout(*places, tokens, usd, seal)
