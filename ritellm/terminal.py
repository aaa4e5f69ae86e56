"""Makes text safe to print on a terminal. Pure.

The text of a model, a prompt, an id or an error may be hostile. Printed unchanged, it can move the
cursor, set the title, write to the clipboard (OSC 52), or reverse the direction of a line. `clean`
works on single characters, without memory, so the result stays safe wherever a stream is cut.
"""

from __future__ import annotations

import unicodedata

# Joiners shape emoji and the scripts of India and Iran. Other format characters have no place in a
# line of text: they reorder it or hide parts of it.
_JOINERS = "\u200c\u200d"
_REPLACEMENT = "\ufffd"


def clean(text: str) -> str:
    """Return `text` with newlines and printable characters only.

    A control character becomes its visible picture, ESC for example "␛", so that a reader sees it.
    """
    if text.isprintable():
        return text
    return "".join(map(_visible, text.replace("\r\n", "\n")))


def clean_line(text: str) -> str:
    """Return `clean(text)` as one line, with single spaces."""
    return " ".join(clean(text).split())


def _visible(char: str) -> str:
    if char.isprintable() or char == "\n" or char in _JOINERS:
        return char
    if char == "\t":
        return "    "
    category = unicodedata.category(char)
    if category == "Cc":
        return _picture(ord(char))
    if category in ("Zl", "Zp"):
        return "\n"
    if category == "Zs":
        return " "
    return "" if category == "Cf" else _REPLACEMENT


def _picture(code: int) -> str:
    """Return the picture of an ASCII control character; those beyond ASCII have none."""
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else _REPLACEMENT
