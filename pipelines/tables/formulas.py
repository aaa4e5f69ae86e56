"""Keeps spreadsheets from taking a text of a CSV file for a formula, and undoes it. Pure.

`original(escaped(text))` is `text`, whatever the text is.
"""

from __future__ import annotations

import re

# What OWASP lists under "CSV Injection": also the full-width forms, and characters before them that
# some programs remove.
_FORMULA = re.compile("'*(?:[\t\r\n]|[\\s\ufeff\u200b]*[=+\\-@\uff1d\uff0b\uff0d\uff20])")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def escaped(text: str) -> str:
    """Return `text`, with an apostrophe before it if a spreadsheet could take it for a formula.

    A text in which apostrophes come before such characters gets one more.
    """
    if _FORMULA.match(text) is None or _NUMBER.fullmatch(text) is not None:
        return text
    return f"'{text}"


def original(text: str) -> str:
    """Return the text from which `escaped` made `text`."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text
