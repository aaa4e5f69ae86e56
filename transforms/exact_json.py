"""JSON with integers of any size. orjson turns those beyond 64 bits into rounded numbers. Pure.

Most texts have no such integer, and orjson alone reads and writes them.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from ritellm.structured.values import has_large_integer as has_large_integer
from ritellm.structured.values import loads as loads


def dumps(value: Any) -> str:
    """Return `value` as JSON on one line."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
