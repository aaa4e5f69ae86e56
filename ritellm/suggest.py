"""Suggests a known name for a misspelt one, for error messages. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the name among `known` that is most like `name`, or None if none is like it.

    `likeness` (0 to 1) is the least that counts; raise it where a wrong guess does harm. A name
    that differs in upper and lower case only comes first.
    """
    names = list(known)
    same = [each for each in names if each.casefold() == name.casefold()]
    found = same or difflib.get_close_matches(name, names, 1, likeness)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return "; did you mean X?" to append to a message, or "" if no known name is like `name`."""
    near = nearest(name, known, likeness)
    return f"; did you mean {near}?" if near else ""
