"""Tells from the first bytes of a file that it cannot be JSON lines, and says what it is. Pure.

One reason for a file is worth more than a failed row for each of its lines. A file in which any of
the first lines is a JSON object passes; its other lines are judged one by one.
"""

from __future__ import annotations

import orjson

# How much of a file is looked at, and how many of its lines.
HEAD_BYTES = 1 << 14
_MOST_LINES = 10

_LINES_NEEDED = "the file must have one JSON object per line"
_BINARY = (
    (b"PK\x03\x04", "a .zip archive; unpack it"),
    (b"PK\x05\x06", "an empty .zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a .7z archive; unpack it"),
    (b"Rar!\x1a\x07", "a .rar archive; unpack it"),
    (b"PAR1", "a Parquet file; convert it to JSON lines"),
    (b"ARROW1", "an Arrow file; convert it to JSON lines"),
    (b"Obj\x01", "an Avro file; convert it to JSON lines"),
    (b"ORC", "an ORC file; convert it to JSON lines"),
    (b"SQLite format 3\x00", "a SQLite database; export its rows as JSON lines"),
    (b"%PDF-", "a PDF file"),
    (b"\x1f\x8b", "compressed twice; decompress it once"),
)
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def fault(head: bytes) -> str | None:
    """Return why a file that begins with `head` is not JSON lines, or None if it may be.

    `head` are the first `HEAD_BYTES` of the file, decompressed, or all of a shorter file.
    """
    kind = next((kind for magic, kind in _BINARY if head.startswith(magic)), None)
    if kind is not None:
        return f"the file is {kind}"
    if head[257:262] == b"ustar":
        return "the file is a .tar archive; unpack it"
    if head.startswith(_BOMS) or _has_wide_characters(head):
        return "the file must be UTF-8, got UTF-16 or UTF-32; save it as UTF-8"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _ends_lines_with_cr(text):
        return "the lines of the file must end in LF, got CR only; convert it (tr '\\r' '\\n')"
    return _fault_of_lines(text, whole=len(head) < HEAD_BYTES)


def _has_wide_characters(head: bytes) -> bool:
    """Return whether every other byte of the beginning is 0, as in UTF-16 of English text."""
    start = head[:64]
    return len(start) >= 4 and start.count(0) * 3 >= len(start) and b"\x00" in start[:4]


def _ends_lines_with_cr(text: bytes) -> bool:
    first, _, rest = text.partition(b"\r")
    return b"\n" not in text and _is_object(first) and rest.lstrip().startswith(b"{")


def _fault_of_lines(text: bytes, whole: bool) -> str | None:
    lines = text.split(b"\n")
    complete = lines if whole else lines[:-1]
    rows = [line for line in complete if line.strip()][:_MOST_LINES]
    if text.startswith(b"[") and not _is_json(rows[0] if rows else text):
        return f"{_LINES_NEEDED}, got a JSON array; convert it (jq -c '.[]')"
    if rows and all(_is_array_of_objects(row) for row in rows):
        return f"{_LINES_NEEDED}, got a JSON array; convert it (jq -c '.[]')"
    if len(rows) < 2 or any(map(_is_object, rows)):
        return None
    if _opens_only(rows[0]) and not rows[1].lstrip().startswith(b"{"):
        return f"{_LINES_NEEDED}, got an object over several lines; convert it (jq -c .)"
    are_rows = any(row.lstrip().startswith((b"{", b"[")) for row in rows)
    if are_rows and len(rows) < _MOST_LINES:
        return None  # a few broken rows: each gets its own reason
    shown = rows[0].decode("utf-8", "backslashreplace").strip()
    return f"{_LINES_NEEDED}, got {shown[:60]!r} as its first line, and no object after it"


def _opens_only(line: bytes) -> bool:
    """Return whether an object begins in `line` and cannot end there."""
    return line.startswith(b"{") and line.count(b"{") > line.count(b"}")


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_object(line: bytes) -> bool:
    return line.lstrip().startswith(b"{") and _is_json(line)


def _is_array_of_objects(line: bytes) -> bool:
    if not line.startswith(b"[") or not _is_json(line):
        return False
    found = orjson.loads(line)
    return bool(found) and all(isinstance(each, dict) for each in found)
