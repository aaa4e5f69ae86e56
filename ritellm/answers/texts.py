"""Reads the JSON object in a model's text, strictly: nothing is repaired or guessed. Pure.

The problem: `json` accepts NaN, takes the last of two equal keys, and rounds 1e999 to infinity.
Models write code fences and sentences around their JSON.

The idea: the text must be one JSON object. A code fence around all of it may be removed; so may
prose, where the provider does not promise pure JSON. What is removed has no brackets of JSON next
to the object, so a part of an array or of a broken object never passes for the answer.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NamedTuple, NoReturn

from ritellm.answers.faults import Fault

# orjson, which writes the rows, has 254 levels, and a row takes some of them.
MOST_LEVELS = 100
_FENCE = re.compile(r"\s*```[A-Za-z0-9_+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*", re.DOTALL)
_WHITE = " \t\n\r"
# Beside the object these would make it a part of something else.
_BEFORE = frozenset("[{,\"'")
_AFTER = frozenset("]},:\"'")


class Found(NamedTuple):
    """The object in a text. `text` is its JSON, `stripped` says whether the model wrote more."""

    value: dict[str, Any]
    text: str
    stripped: bool = False


class NotJson(ValueError):
    """The text is not one JSON object."""


def read(text: str, *, prose: bool = False) -> Found | Fault:
    """Return the object in `text`, or why there is none; `prose` allows sentences around it."""
    try:
        return _found(text, prose)
    except NotJson as error:
        return Fault("$", "json", str(error))
    except RecursionError:
        return Fault("$", "json", f"must have at most {MOST_LEVELS} levels")
    except ValueError as error:  # json's own, and integers of thousands of digits
        return Fault("$", "json", f"must be one JSON object: {error}")


def _found(text: str, prose: bool) -> Found:
    body = text.strip(_WHITE)
    if body.startswith("{"):
        value, end = _object(body, 0)
        rest = body[end:].strip(_WHITE)
        if not rest:
            return Found(value, body)
        if not prose:
            raise NotJson(f"must end with the object, got {rest[:40]!r} after it")
        return Found(value, body[:end], _checked("", rest))
    if fence := _FENCE.fullmatch(body):
        inner = fence[1].strip(_WHITE)
        if not inner.startswith("{"):
            raise NotJson(f"must be one JSON object, got {inner[:40]!r} in the code fence")
        value, end = _object(inner, 0)
        if rest := inner[end:].strip(_WHITE):
            raise NotJson(f"must end with the object, got {rest[:40]!r} after it")
        return Found(value, inner, True)
    if not prose or "{" not in body:
        raise NotJson(f"must be one JSON object, got {body[:40]!r}")
    start = body.index("{")
    value, end = _object(body, start)
    return Found(value, body[start:end], _checked(body[:start], body[end:]))


def _checked(before: str, after: str) -> bool:
    """Return True; raises NotJson if what surrounds the object makes it a part of something."""
    before, after = before.rstrip(_WHITE), after.lstrip(_WHITE)
    if before[-1:] in _BEFORE or after[:1] in _AFTER:
        raise NotJson("must be one JSON object, got a part of something larger")
    if "{" in after:
        raise NotJson("must be one JSON object, got another one after it")
    return True


def _object(text: str, start: int) -> tuple[dict[str, Any], int]:
    value, end = _DECODER.raw_decode(text, start)
    body = text[start:end]
    if body.count("{") + body.count("[") > MOST_LEVELS and _levels(value) > MOST_LEVELS:
        raise NotJson(f"must have at most {MOST_LEVELS} levels")
    if "\\u" in body or not body.isascii():
        _check_unicode(value)
    return value, end


def _levels(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        each, level = waiting.pop()
        if isinstance(each, (dict, list)):
            deepest = max(deepest, level)
            inside = each.values() if isinstance(each, dict) else each
            waiting.extend((part, level + 1) for part in inside)
    return deepest


def _check_unicode(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotJson("must not have half a surrogate pair") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name, count in names.items() if count > 1)
        raise NotJson(f"must not have the property {twice[:80]!r} twice")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJson(f"must not have a number beyond the range of floats, got {text[:40]}")
    return number


def _constant(text: str) -> NoReturn:
    raise NotJson(f"must not have {text}, which JSON does not know")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)
