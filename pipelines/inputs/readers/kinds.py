"""Tells from the first bytes of a file that it is not of some format, and says what it is. Pure.

One reason for a file is worth more than a failed row for each of its lines. A file in which any of
the first lines is a JSON object passes as JSON lines; its other lines are judged one by one.
"""

from __future__ import annotations

import re

import orjson

# How much of a file is looked at, and how many of its lines.
HEAD_BYTES = 1 << 14
_MOST_LINES = 10

_LINES_NEEDED = "the file must have one JSON object per line"
_RECORDS_NEEDED = (
    "the file is a table by columns, as pandas writes it; write rows, with to_json(...,"
    " orient='records')"
)
_AS_JSON = "add --input_format json"
_KINDS = (
    (b"PK\x03\x04", "a .zip archive; unpack it"),
    (b"PK\x05\x06", "an empty .zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a .7z archive; unpack it"),
    (b"Rar!\x1a\x07", "a .rar archive; unpack it"),
    (b"PAR1", "a Parquet file; add --input_format parquet, or name it *.parquet"),
    (b"ARROW1", "an Arrow file; add --input_format arrow, or name it *.arrow"),
    (b"FEA1", "a Feather file of version 1; save it as version 2"),
    (b"\xff\xff\xff\xff", "an Arrow stream; add --input_format arrow, or name it *.arrow"),
    (b"Obj\x01", "an Avro file; convert it to Parquet"),
    (b"ORC", "an ORC file; convert it to Parquet"),
    (b"SQLite format 3\x00", "a SQLite database; export its rows as CSV"),
    (b"%PDF-", "a PDF file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file; save its table as CSV UTF-8"),
    (b"\x80\x04\x95", "a pickle of Python; convert it to Parquet"),
    (b"\x80\x05\x95", "a pickle of Python; convert it to Parquet"),
    (b"\x93NUMPY", "an array of NumPy; convert it to Parquet"),
    (b"\x89HDF", "an HDF5 file; convert it to Parquet"),
    (b"\x1f\x8b", "compressed twice; decompress it once"),
    (b"\x04\x22\x4d\x18", "compressed with lz4; decompress it"),
)
_PAGE = "a web page, maybe of an error or a login; download the data again"
# Texts that have no rows.
_TEXTS = (
    (b"version https://git-lfs.", "a pointer of Git LFS and not the data; run git lfs pull"),
    (b"<!doctype html", _PAGE),
    (b"<html", _PAGE),
    (b"<?xml", "an XML file; convert it to JSON lines or CSV"),
)
# The first names in a .zip archive that is a file of a spreadsheet or a text processor.
_OFFICE = re.compile(rb"\[Content_Types\]\.xml|_rels/|docProps/|xl/|mimetypeapplication/vnd\.oasis")
_ZIP_NAME = 30  # where the first name begins
# How pandas writes JSON by default, or with another orient than "records".
_BY_COLUMNS = re.compile(
    rb'\{\s*(?:"(?:[^"\\]|\\.)*":\s*\{\s*"0":|"columns":\s*\[[^\]]*\],\s*"index":\s*\['
    rb'|"schema":\s*\{\s*"fields":)'
)
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def fault_of_rows(head: bytes) -> str | None:
    """Return what a file that begins with `head` is, if it is not UTF-8 text that may have rows."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    kind = next((kind for magic, kind in _TEXTS if start.startswith(magic)), None)
    return fault_of_text(head) if kind is None else f"the file is {kind}"


def _kind(head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04") and _OFFICE.match(head, _ZIP_NAME):
        return "a workbook or a document of Office; save its table as CSV UTF-8"
    if head[257:262] == b"ustar":
        return "a .tar archive; unpack it"
    return next((kind for magic, kind in _KINDS if head.startswith(magic)), None)


def fault_of_text(head: bytes) -> str | None:
    """Return what a file that begins with `head` is, if it is not UTF-8 text."""
    if (kind := _kind(head)) is not None:
        return f"the file is {kind}"
    if head.startswith(_BOMS) or _has_wide_characters(head):
        return (
            "the file must be UTF-8, got UTF-16 or UTF-32; save it as UTF-8, or add"
            " --encoding utf-16"
        )
    return None


def fault_of_lines(head: bytes) -> str | None:
    """Return why a file that begins with `head` is not JSON lines, or None if it may be.

    `head` are the first `HEAD_BYTES` of the file, decompressed, or all of a shorter file.
    """
    if why := fault_of_rows(head):
        return why
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _BY_COLUMNS.match(text):
        return _RECORDS_NEEDED
    if _ends_lines_with_cr(text):
        return "the lines of the file must end in LF, got CR only; convert it (tr '\\r' '\\n')"
    return _fault_of_lines(text, whole=len(head) < HEAD_BYTES)


def fault_of_json(head: bytes) -> str | None:
    """Return why a file that begins with `head` is not an array of objects, or objects."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _BY_COLUMNS.match(text):
        return _RECORDS_NEEDED
    if not text or text.startswith((b"{", b"[")):
        return None
    shown = text.split(b"\n")[0].decode("utf-8", "backslashreplace").strip()
    return f"the file must be a JSON array of objects, or JSON objects, got {shown[:60]!r}"


def looks_like_values(head: bytes) -> bool:
    """Return whether `head` is JSON that is not JSON lines: an array, or an object over lines."""
    if fault_of_rows(head) or fault_of_json(head) or not head.strip():
        return False
    return fault_of_lines(head) is not None


def looks_like_lines(head: bytes) -> bool:
    """Return whether `head` begins with a JSON object in a line, and none goes over lines."""
    lines = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n")
    return _is_object(lines[0]) and not any(map(_opens_only, lines[1:-1]))


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
        return f"{_LINES_NEEDED}, got a JSON array; {_AS_JSON}, or convert it (jq -c '.[]')"
    if rows and all(_is_array_of_objects(row) for row in rows):
        return f"{_LINES_NEEDED}, got a JSON array; {_AS_JSON}, or convert it (jq -c '.[]')"
    if len(rows) < 2 or any(map(_is_object, rows)):
        return None
    if _opens_only(rows[0]) and not rows[1].lstrip().startswith(b"{"):
        return f"{_LINES_NEEDED}, got an object over several lines; {_AS_JSON}"
    are_rows = any(row.lstrip().startswith((b"{", b"[")) for row in rows)
    if are_rows and len(rows) < _MOST_LINES:
        return None  # a few broken rows: each gets its own reason
    shown = rows[0].decode("utf-8", "backslashreplace").strip()
    remedy = _remedy(rows[0])
    return f"{_LINES_NEEDED}, got {shown[:60]!r} as its first line, and no object after it{remedy}"


def _remedy(line: bytes) -> str:
    """Return the format that a line of text is likely of, as the end of a sentence."""
    formats = {b"\t": "tsv", b",": "csv", b";": "csv --csv_delimiter ';'"}
    found = next((name for mark, name in formats.items() if mark in line), None)
    return f"; for a table add --input_format {found}" if found else ""


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
