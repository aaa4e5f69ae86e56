"""Read counts of tokens, and merge those that arrive in several parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Larger numbers are not counts of tokens: above this one, floats cannot hold each integer.
_MOST = 1 << 53
# Usages nest two levels deep.
_DEEPEST = 4
_OBJECTS = ("_details", "cache_creation", "Details")  # the ends of names of objects and lists
# Types of values that a later value replaces as a whole.
_REPLACED = {int, float, bool, str, list, type(None)}
_TOTAL_AND_PARTS = ("total_tokens", "prompt_tokens", "completion_tokens")


def count_of(value: Any) -> int | None:
    """Return a count of tokens, a whole number from 0; None for any other value."""
    if type(value) is int and 0 <= value < _MOST:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not 0 <= value < _MOST or value != int(value):
        return None
    return int(value)


def added(raw: Mapping[str, Any], *names: str) -> int | None:
    """Return the sum of the counts under `names`; a missing one is zero.

    None if one of them makes no sense: then the sum is not known.
    """
    total = 0
    for name in names:
        value = raw.get(name)
        if value is not None:
            count = value if type(value) is int and 0 <= value < _MOST else count_of(value)
            if count is None:
                return None
            total += count
    return total


def sum_of(one: Any, other: Any) -> int | None:
    """Return the sum of two counts; a missing one is zero. None if one of them makes no sense."""
    if other is None and type(one) is int and 0 <= one < _MOST:
        return one
    return added({"one": one, "other": other}, "one", "other")


def both(one: int | None, other: int | None) -> int | None:
    """Return the sum of two counts, None if one of them is not known."""
    return None if one is None or other is None else one + other


def counts_in(usage: Any, depth: int = 0) -> dict[str, Any]:
    """Return `usage` without the counts and details that make no sense, at any depth.

    A provider may send anything. A count that is not a whole number from 0 counts as not given, and
    so do details that are not objects or lists of objects.
    """
    # The common case, which Gemini sends with each chunk: counts and nothing else.
    if type(usage) is dict and all(map(_is_count, usage, usage.values())):
        return usage
    if not isinstance(usage, Mapping) or depth > _DEEPEST:
        return {}
    read = ((str(name), _read(str(name), value, depth)) for name, value in usage.items())
    return {name: value for name, value in read if value is not None}


def _is_count(name: Any, value: Any) -> bool:
    return (
        type(value) is int
        and 0 <= value < _MOST
        and type(name) is str
        and not name.endswith(_OBJECTS)
    )


def _read(name: str, value: Any, depth: int) -> Any:
    if name != "tokens" and name.lower().endswith(("tokens", "tokencount")):
        return count_of(value)
    if isinstance(value, Mapping):
        return counts_in(value, depth + 1)
    if name.endswith(_OBJECTS[:2]):
        return None
    if isinstance(value, list):  # Gemini's
        return [counts_in(each, depth + 1) for each in value if isinstance(each, Mapping)]
    return None if name.endswith(_OBJECTS) else value


def merged(known: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return `known`, updated by `later` at any depth.

    A later number replaces an earlier one, unless it is 0: counts grow, and some servers send zeros
    for what they counted before. A field that `later` lacks, or has as null or empty, keeps its
    value. Merging is associative, as the sum of chunks must be.
    """
    # The common case, counts that are all counted again: comparisons in place of the loop.
    counts_anew = known.keys() <= later.keys() and all(later.values())
    if counts_anew and _REPLACED.issuperset(map(type, known.values())):
        return {**later}
    summed = dict(known)
    for name, value in later.items():
        before = summed.get(name)
        if before is None or type(before) is int:  # the common case, without a slow isinstance
            if before is None or not _is_empty(value):
                summed[name] = value
        elif isinstance(before, Mapping):
            if isinstance(value, Mapping):
                summed[name] = merged(before, value)
        elif not _is_empty(value):
            summed[name] = value
    return summed


def _is_empty(value: Any) -> bool:
    return not value and value is not False


def totalled(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return `usage` with a total that is not less than its parts, which may be newer."""
    total, prompt, completion = map((usage or {}).get, _TOTAL_AND_PARTS)
    if not (isinstance(total, int) and isinstance(prompt, int) and isinstance(completion, int)):
        return usage
    return {**(usage or {}), "total_tokens": max(total, prompt + completion)}
