"""Undoes the escapes of JSON, Python, URLs and HTML, and keeps where each of them was. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

# Escapes of JSON and Python, of URLs and of HTML, each also escaped again several times.
ESCAPE = re.compile(
    rb"\\{1,16}(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))"
    rb"|%(?:25){0,4}([0-9A-Fa-f]{2})"
    rb"|&(?:amp;){0,4}(?:#0{0,8}([0-9]{1,7})|#[xX]0{0,8}([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));",
    re.DOTALL,
)
# What an escape may begin with when the stream is cut inside it.
UNFINISHED = re.compile(
    rb"(?:\\{1,16}(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?|%(?:25){0,4}[0-9A-Fa-f]?"
    rb"|&[a-z;#0-9A-FX]{0,40})\Z"
)
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


class Plain:
    """`data` without escapes, and where each of its bytes was before."""

    def __init__(self, data: bytes) -> None:
        pieces: list[bytes] = []
        # For each piece: its first position in the plain data, and its place in the escaped data.
        self._firsts: list[int] = []
        self._places: list[tuple[int, int, bool]] = []
        size = 0
        for start, end, piece, escaped in _pieces(data):
            pieces.append(piece)
            self._firsts.append(size)
            self._places.append((start, end, escaped))
            size += len(piece)
        self.data = b"".join(pieces)

    def start(self, position: int) -> int:
        """Return where the byte at `position` begins in the escaped data."""
        return self._place(position)[0]

    def end(self, position: int) -> int:
        """Return where the byte before `position` ends in the escaped data."""
        return self._place(position - 1)[1]

    def _place(self, position: int) -> tuple[int, int]:
        number = bisect_right(self._firsts, position) - 1
        start, end, escaped = self._places[number]
        at = start + position - self._firsts[number]
        return (start, end) if escaped else (at, at + 1)


def _pieces(data: bytes) -> Iterator[tuple[int, int, bytes, bool]]:
    at = 0
    for match in ESCAPE.finditer(data):
        if at < match.start():
            yield at, match.start(), data[at : match.start()], False
        yield match.start(), match.end(), _unescaped(match), True
        at = match.end()
    if at < len(data):
        yield at, len(data), data[at:], False


def _unescaped(match: re.Match[bytes]) -> bytes:
    hex16, hex8, char, percent, decimal, html, name = match.groups()
    if char is not None:
        return char
    if hex8 or percent:
        return bytes([int(hex8 or percent, 16)])
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hex16 or html, 16)
    return chr(code).encode("utf-8", "surrogatepass") if code <= 0x10FFFF else b"?"
