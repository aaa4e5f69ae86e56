"""A file of the folder journal as bytes: zipped lines of JSON, the first of them an index. Pure.

Each line begins with a checksum of its rest, so that a damaged file gives its sound lines and no
others. The index says which rows are there, what they cost and how long the file is: its first
kilobytes are enough to open a journal. It looks like a record that cost nothing, and a file without
one is read as well.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from transforms.journal.base import NOTHING, Record, Spent
from transforms.journal.key import JournalKey

HEAD_BYTES = 1 << 15  # holds the index of a thousand rows
ROW = struct.Struct("<qq")  # the hash of a row's key, and that of its request
_BLOCK = struct.Struct("<BHH")
_TRAILER = struct.Struct("<LL")
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_PIECE = 512
_VALUE = b',"value":'
_SPENDING = b'"id":null,'


@dataclass(frozen=True, slots=True)
class Head:
    """What the index of a file says. `rows` are packed by ROW, in the order of the lines."""

    rows: bytes
    spent: Spent
    size: int


def key_hash(key: JournalKey) -> int:
    """Return 64 bits that stand for `key`."""
    digest = blake2b(f"{key.request}{key.id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def equal_hash(request: str) -> int:
    """Return 64 bits that stand for equal requests."""
    return int.from_bytes(bytes.fromhex(request)[:8], "little", signed=True)


def rows_of(records: Sequence[Record]) -> bytes:
    """Return what an index says of the completions in `records`."""
    keys = (record.key for record in records if record.key is not None)
    return b"".join(ROW.pack(key_hash(key), equal_hash(key.request)) for key in keys)


def spent_on(records: Sequence[Record]) -> Spent:
    """Return what `records` cost together."""
    return sum((record.spent for record in records), NOTHING)


def to_file(records: Sequence[Record]) -> bytes:
    """Return the file of `records`: gzip, whose first block holds the index and nothing else."""
    lines = b"".join(map(to_line, records))
    zip = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = zip.compress(lines) + zip.flush()
    index = _index_line(rows_of(records), spent_on(records), len(body) + _TRAILER.size)
    checksum = zlib.crc32(lines, zlib.crc32(index))
    trailer = _TRAILER.pack(checksum, (len(index) + len(lines)) & 0xFFFFFFFF)
    return _GZIP_HEADER + _stored(index) + body + trailer


def head_of(begin: bytes) -> Head | None:
    """Return the index in the first HEAD_BYTES of a file; None if there is no sound one."""
    line, newline, _ = b"".join(_unzipped_pieces(begin)).partition(b"\n")
    if not newline or is_completion(line) or not _is_sound(line):
        return None
    index = orjson.loads(line)["value"]
    if index is None:  # of an earlier version, which had no index: it only cost something
        return None
    size = len(_GZIP_HEADER) + len(_stored(line + newline)) + index["rest"]
    return Head(b64decode(index["rows"]), Spent(index["tokens"], index["usd"]), size)


def lines_of(data: bytes) -> tuple[list[bytes], bool]:
    """Return the lines in a file, all that can be unzipped of it, and whether that is all."""
    try:
        return zlib.decompress(data, 31).splitlines(), True
    except zlib.error:
        return b"".join(_unzipped_pieces(data)).splitlines(), False


def is_completion(line: bytes) -> bool:
    """Return whether a sound `line` holds a completion, rather than an index or what was spent."""
    start = line.find(b",") + 1
    return not line.startswith(_SPENDING, start)


def to_line(record: Record) -> bytes:
    """Return `record` as a line."""
    id, request = record.key or (None, None)
    spent = record.spent
    head = {"id": id, "request": request, "tokens": spent.tokens, "usd": spent.usd}
    value = record.value.replace(b"\n", b" ") or b"null"  # JSON's own line breaks are escaped
    return _line(head, value)


def from_line(line: bytes) -> Record | None:
    """Return the record of `line`, or None if it was damaged."""
    if not _is_sound(line):
        return None
    rest = line[line.index(b",") + 1 :]
    at = rest.index(_VALUE)  # not inside a string: quotes are escaped there
    fields = orjson.loads(b"{" + rest[:at] + b"}")
    spent = Spent(fields["tokens"], fields["usd"])
    if fields["id"] is None:
        return Record(None, b"", spent)
    key = JournalKey(fields["id"], fields["request"])
    return Record(key, rest[at + len(_VALUE) : -1], spent)


def _line(head: Mapping[str, object], value: bytes) -> bytes:
    rest = orjson.dumps(head)[1:-1] + _VALUE + value + b"}"
    return b'{"crc":%d,%s\n' % (zlib.crc32(rest), rest)


def _index_line(rows: bytes, spent: Spent, rest: int) -> bytes:
    nothing = {"id": None, "request": None, "tokens": 0, "usd": 0.0}
    facts = {"rows": b64encode(rows).decode(), "tokens": spent.tokens, "usd": spent.usd}
    return _line(nothing, orjson.dumps({**facts, "rest": rest}))


def _is_sound(line: bytes) -> bool:
    head, _, rest = line.partition(b",")
    return head == b'{"crc":%d' % zlib.crc32(rest)


def _stored(data: bytes) -> bytes:
    """Return `data` as deflate blocks that keep it as it is (RFC 1951, 3.2.4)."""
    pieces = (data[start : start + 0xFFFF] for start in range(0, len(data), 0xFFFF))
    return b"".join(_BLOCK.pack(0, len(piece), len(piece) ^ 0xFFFF) + piece for piece in pieces)


def _unzipped_pieces(data: bytes) -> Iterator[bytes]:
    """Yield what comes before the damage: an error takes the rest of its piece with it."""
    unzip = zlib.decompressobj(31)
    try:
        for start in range(0, len(data), _PIECE):
            yield unzip.decompress(data[start : start + _PIECE])
    except zlib.error:
        return
