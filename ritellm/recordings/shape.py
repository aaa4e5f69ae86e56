"""What the fields of a line of a recording must be: a file may hold anything. Pure."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.providers import PROVIDERS

# A year of seconds: no recording is longer.
_LONGEST = 366 * 86_400.0
_WIRES = {wire for each in PROVIDERS.values() for wire in (each.wire, *each.routes.values())}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_seconds(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= _LONGEST


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and 100 <= value <= 999


def _is_code(value: Any) -> bool:
    return value is None or (isinstance(value, int) and abs(value) < 1000)


def _are_headers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_header, pair)) for pair in value
    )


def _is_header(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and "\n" not in value and "\r" not in value


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and b64decode(value, validate=True) is not None
    except (binascii.Error, ValueError):
        return False


def _is_error(value: Any) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(name), str) for name in ("type", "message"))
        and isinstance(value.get("code"), (str, type(None)))
        and _is_code(value.get("status_code"))
        and isinstance(value.get("retryable"), (bool, type(None)))
        and (value.get("retry_after") is None or _is_seconds(value["retry_after"]))
    )


Rule = tuple[Callable[[Any], bool], str]
_TEXT: Rule = (_is_text, "a text")
_SECONDS: Rule = (_is_seconds, "seconds, from 0 to a year")
_TIMES: Mapping[str, Rule] = {"at": _SECONDS, "offset": _SECONDS}
_ON_INTERRUPT = ("raise", "continue", "restart")
_FIELDS: Mapping[str, Mapping[str, Rule]] = {
    "request": {
        **dict.fromkeys(("provider", "model", "base_url"), _TEXT),
        "wire": (lambda value: _is_text(value) and value in _WIRES, "the name of a dialect"),
        "on_interrupt": (
            lambda value: _is_text(value) and value in _ON_INTERRUPT,
            " or ".join(_ON_INTERRUPT),
        ),
    },
    "response": {
        "status": (_is_status, "a status of HTTP"),
        "headers": (_are_headers, "a list of pairs of texts"),
    },
    "data": {"text": _TEXT, "base64": (_is_base64, "base64")},
    "end": {"error": (_is_error, "an error with type and message, or null")},
}
# The fields without which a line is of no use: all of them, or all of another set.
_NEEDED = {
    "request": ({"provider", "model", "wire", "base_url", "on_interrupt"},),
    "response": ({"status"},),
    "data": ({"offset", "text"}, {"offset", "base64"}),
}


def check_line(entry: Any, number: int) -> None:
    """Raise InvalidRequestError for line `number` if it is not a line of a recording."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        raise InvalidRequestError(
            f"line {number} must be a line of a recording (an object with call, attempt and kind),"
            f" got {_shown(entry)}"
        )
    for name in ("call", "attempt"):
        if not isinstance(entry.get(name), (int, str)):
            raise _wrong(number, name, "a number or a text", entry.get(name))
    kind = entry["kind"]
    rules = {**_TIMES, **_FIELDS.get(kind, {})}
    for name, value in entry.items():
        fits, what = rules.get(name, (None, ""))
        if fits is not None and not fits(value):
            raise _wrong(number, name, what, value)
    ways = _NEEDED.get(kind)
    if ways and not any(way <= entry.keys() for way in ways):
        needed = ", or ".join(" and ".join(sorted(way)) for way in ways)
        raise _wrong(number, "its fields", f"at least {needed}", list(entry))


def _wrong(number: int, name: str, what: str, value: Any) -> InvalidRequestError:
    return InvalidRequestError(f"line {number}: {name} must be {what}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """Return the beginning of a value: Python cannot show one of many levels."""
    try:
        return f"{value!r:.80}"
    except RecursionError:
        return type(value).__name__
