"""How many cells of a terminal a text takes, and texts that are cut to a number of cells.

A character may take two cells (CJK, emoji), one, or none (combining marks), and several characters
may be drawn as one (a family of emoji, a flag, a letter with its marks). `wcwidth` of the extra
`terminal` knows them all, and texts are cut between such clusters. Without it the tables of Python
are used, character by character: clusters of emoji count as more cells than a terminal draws.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

_ELLIPSIS = "…"


def cells_in(text: str) -> int:
    """Return how many cells a text without control characters takes."""
    return len(text) if text.isascii() else sum(size for _, size in _clusters(text))


def fit(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells, with an ellipsis if it is cut."""
    text = head(text, width)
    return text + " " * (width - cells_in(text))


def head(text: str, width: int) -> str:
    """Return as much of the beginning of `text` as fits into `width` cells."""
    if cells_in(text) <= width:
        return text
    return "".join(_within(_clusters(text), width - 1)) + _ELLIPSIS


def tail(text: str, width: int) -> str:
    """Return as much of the end of `text` as fits into `width` cells."""
    if cells_in(text) <= width:
        return text
    kept = list(_within(reversed(list(_clusters(text))), width - 1))
    return _ELLIPSIS + "".join(reversed(kept))


def _within(clusters: Iterable[tuple[str, int]], width: int) -> Iterator[str]:
    for cluster, size in clusters:
        width -= size
        if width < 0:
            return
        yield cluster


def _clusters(text: str) -> Iterator[tuple[str, int]]:
    """Yield the parts of a text that are drawn together, each with its cells."""
    library = _library()
    if library is None:
        yield from ((char, _size(char)) for char in text)
        return
    for cluster in library.iter_graphemes(text):
        yield cluster, max(0, library.wcswidth(cluster))


@cache
def _library() -> Any:
    try:
        import wcwidth
    except ImportError:
        return None
    return wcwidth if hasattr(wcwidth, "iter_graphemes") else None


def _size(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
