"""The grammar of a JSON number, one character at a time. Pure.

A number has no end of its own: only the character after it, or the end of the text, ends it.
"""

from __future__ import annotations

import math
import re

_DIGITS = "0123456789"

# What may follow in each state; a state is named after what has just been read.
NEXT: dict[str, dict[str, str]] = {
    "": {"-": "minus", "0": "zero", **dict.fromkeys("123456789", "integer")},
    "minus": {"0": "zero", **dict.fromkeys("123456789", "integer")},
    "zero": {".": "point", "e": "e", "E": "e"},
    "integer": {**dict.fromkeys(_DIGITS, "integer"), ".": "point", "e": "e", "E": "e"},
    "point": dict.fromkeys(_DIGITS, "fraction"),
    "fraction": {**dict.fromkeys(_DIGITS, "fraction"), "e": "e", "E": "e"},
    "e": {**dict.fromkeys(_DIGITS, "exponent"), "+": "sign", "-": "sign"},
    "sign": dict.fromkeys(_DIGITS, "exponent"),
    "exponent": dict.fromkeys(_DIGITS, "exponent"),
}
ENDS = frozenset({"zero", "integer", "fraction", "exponent"})

# A run of the characters that numbers have.
RUN = re.compile(r"[-+.0-9eE]*")

# A shorter number without an exponent is smaller than the largest float.
_SURELY_FINITE = 300


def follow(state: str, run: str) -> tuple[str, int]:
    """Return the state after `run`, and how many of its characters may stand there."""
    for at, char in enumerate(run):
        after = NEXT[state].get(char)
        if after is None:
            return state, at
        state = after
    return state, len(run)


def is_finite(text: str) -> bool:
    """Return whether the number `text` is smaller than infinity as a float."""
    if len(text) < _SURELY_FINITE and "e" not in text and "E" not in text:
        return True
    return math.isfinite(float(text))
