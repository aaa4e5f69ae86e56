"""The value of a whole JSON text, with integers of any size. Pure.

orjson turns integers beyond 64 bits into rounded numbers. Most texts have no such integer, and
orjson alone reads them.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

# The smallest integer beyond 64 bits has 19 digits. With each digit replaced by 0, a search for as
# many zeros finds them; a regular expression would take four times as long, for every row.
_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
_MANY_DIGITS = b"0" * 19


def loads(text: str, is_large: bool | None = None) -> Any:
    """Return the value of `text`; raises ValueError for text that is not JSON.

    `is_large` is what `has_large_integer` returns for it, if the caller knows that.
    """
    value = orjson.loads(text)
    # json also accepts NaN, so orjson has the first look.
    return json.loads(text) if is_large or (is_large is None and has_large_integer(text)) else value


def has_large_integer(text: str) -> bool:
    """Return whether `text` may have an integer beyond 64 bits."""
    return _MANY_DIGITS in text.encode("utf-8", "surrogatepass").translate(_DIGITS)
