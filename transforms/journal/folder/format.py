"""The bytes of one file of the folder journal: gzip of JSON lines, with an index first. Pure.

The problem: a journal of a million rows is thousands of files in a bucket. Opening it needs the
rows and the cost of each file, and whether the file is whole, without a download. The sound lines
of a damaged file must stay readable.

The idea: the first block of the gzip stream is stored uncompressed and holds the index alone, so
the first HEAD_BYTES of a file are enough. Any gzip tool can still read the file:

    gzip header | stored block: index line | deflate blocks: one line per record | crc, length
    line:   {"crc":CRC32 of the rest,"id":...,"request":...,"tokens":...,"usd":...,"value":{...}}
    index:  a line with "id":null whose value has `rows` (hashes), the cost, and `rest` (bytes)

What holds:

- A line counts only if its checksum is right, so damage never yields a wrong completion.
- The size in the index is that of the whole file, so a truncated file is noticed at once.
- Versions without the index read an index line as a record that cost nothing; a file without an
  index, from such a version, is read as a whole.
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

HEAD_BYTES = 1 << 15  # enough for the index of a thousand rows
ROW = struct.Struct("<qq")  # the hash of a row's key, and that of its request
_BLOCK = struct.Struct("<BHH")
_TRAILER = struct.Struct("<LL")
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_PIECE = 512
# The most that one file may hold: a group of records (`GroupCommit`), its index and one value.
_MOST_BYTES = 128 << 20
_VALUE = b',"value":'
_SPENDING = b'"id":null,'


@dataclass(frozen=True, slots=True)
class Head:
    """The index of a file. `rows` are packed by ROW, in the order of the lines."""

    rows: bytes
    spent: Spent
    size: int


def key_hash(key: JournalKey) -> int:
    """Return the 64-bit hash of `key`."""
    digest = blake2b(f"{key.request}{key.id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def equal_hash(request: str) -> int:
    """Return the 64-bit hash that equal requests share."""
    return int.from_bytes(bytes.fromhex(request)[:8], "little", signed=True)


def rows_of(records: Sequence[Record]) -> bytes:
    """Return the rows of the completions in `records`, as an index has them."""
    keys = (record.key for record in records if record.key is not None)
    return b"".join(ROW.pack(key_hash(key), equal_hash(key.request)) for key in keys)


def spent_on(records: Sequence[Record]) -> Spent:
    """Return what `records` cost together."""
    return sum((record.spent for record in records), NOTHING)


def to_file(records: Sequence[Record]) -> bytes:
    """Return the bytes of the file of `records`."""
    lines = b"".join(map(to_line, records))
    zip = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = zip.compress(lines) + zip.flush()
    index = _index_line(rows_of(records), spent_on(records), len(body) + _TRAILER.size)
    checksum = zlib.crc32(lines, zlib.crc32(index))
    trailer = _TRAILER.pack(checksum, (len(index) + len(lines)) & 0xFFFFFFFF)
    return _GZIP_HEADER + _stored(index) + body + trailer


def head_of(begin: bytes) -> Head | None:
    """Return the index in the first HEAD_BYTES of a file; None if it is missing or damaged."""
    line, newline, _ = b"".join(_unzipped_pieces(begin)).partition(b"\n")
    if not newline or is_completion(line) or not _is_sound(line):
        return None
    index = orjson.loads(line)["value"]
    if index is None:  # a record of spending, of a version without an index
        return None
    size = len(_GZIP_HEADER) + len(_stored(line + newline)) + index["rest"]
    return Head(b64decode(index["rows"]), Spent(index["tokens"], index["usd"]), size)


def lines_of(data: bytes) -> tuple[list[bytes], bool]:
    """Return the lines that can be unzipped, and whether the file is whole.

    Lines beyond `_MOST_BYTES` are lost: no file of a journal is as large.
    """
    unzip = zlib.decompressobj(31)
    try:
        lines = unzip.decompress(data, _MOST_BYTES).split(b"\n")
        whole = unzip.eof
    except zlib.error:
        lines, whole = b"".join(_unzipped_pieces(data)).split(b"\n"), False
    return lines[: None if lines[-1] else -1], whole


def is_completion(line: bytes) -> bool:
    """Return whether a sound `line` holds a completion, rather than an index or spending."""
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
    """Return the record of `line`, or None if it is damaged."""
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


def key_and_value(line: bytes) -> tuple[JournalKey, bytes] | None:
    """Return what `from_line` finds in the line of a completion; None if it is damaged."""
    head, _, rest = line.partition(b",")
    if head != b'{"crc":%d' % zlib.crc32(rest):
        return None
    at = rest.index(_VALUE)
    fields = orjson.loads(b"{" + rest[:at] + b"}")
    if fields["id"] is None:
        return None
    return JournalKey(fields["id"], fields["request"]), rest[at + len(_VALUE) : -1]


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
    """Return `data` as uncompressed deflate blocks (RFC 1951, 3.2.4)."""
    pieces = (data[start : start + 0xFFFF] for start in range(0, len(data), 0xFFFF))
    return b"".join(_BLOCK.pack(0, len(piece), len(piece) ^ 0xFFFF) + piece for piece in pieces)


def _unzipped_pieces(data: bytes) -> Iterator[bytes]:
    """Yield the data before the damage; an error loses the rest of its piece."""
    unzip, left = zlib.decompressobj(31), _MOST_BYTES
    try:
        for start in range(0, len(data), _PIECE):
            piece = unzip.decompress(data[start : start + _PIECE], left)
            yield piece
            left -= len(piece)
            if not left:
                return
    except zlib.error:
        return
