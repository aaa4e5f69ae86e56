"""Lets a program write any text to a terminal or a file that is not UTF-8.

The problem: with LC_ALL=C, or a terminal in Latin-1, Python raises UnicodeEncodeError for the first
character that the encoding lacks. A job that has paid for its rows would fail on its summary.

The idea: what an encoding lacks is replaced where it is encoded. A terminal shows a likeness of the
same width: bars and lines of ASCII, letters without their accents, question marks. A file gets
escapes, which lose nothing.
"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from contextlib import suppress
from typing import Any

_SHOWN, _WRITTEN = "ritellm-shown", "ritellm-written"
# What the programs draw with.
_GLYPHS = dict(zip("█░─│┌┐└┘·…▸⏎✓✗\u2013\u2014“”", '#.-|++++|~>$vx--""', strict=True))


def tolerate() -> None:
    """Let the standard streams of this process take any text. A second call changes nothing."""
    codecs.register_error(_SHOWN, _shown)
    codecs.register_error(_WRITTEN, _written)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or not a file of text
            errors = _SHOWN if stream.isatty() else _WRITTEN
            if stream.errors in ("strict", "surrogateescape", "backslashreplace"):
                stream.reconfigure(errors=errors)  # type: ignore[union-attr]


def _shown(error: UnicodeError) -> tuple[str, int]:
    text, end = _lacking(error)
    return "".join(map(_likeness, text)), end


def _written(error: UnicodeError) -> tuple[str, int]:
    text, end = _lacking(error)
    return "".join(_GLYPHS.get(char) or _escaped(char) for char in text), end


def _lacking(error: Any) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return error.object[error.start : error.end], error.end


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


def _likeness(char: str) -> str:
    """Return ASCII of the same width."""
    if char in _GLYPHS:
        return _GLYPHS[char]
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return ""
    if unicodedata.east_asian_width(char) in "WF":
        return "??"
    letters = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return letters if len(letters) == 1 and letters.isprintable() else "?"
