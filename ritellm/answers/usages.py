"""Adds up the tokens of several requests: each request of an answer is paid for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.usage import counts_in

# A usage nests two levels deep.
_DEEPEST = 4


def usage_sum(one: Any, other: Any) -> dict[str, Any] | None:
    """Return the sum of two usages at any depth; None if neither is known.

    What is not a count is taken from the later one.
    """
    first, second = counts_in(one), counts_in(other)
    if not first or not second:
        return dict(first or second) or None
    return _sum(first, second, 0)


def _sum(one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> dict[str, Any]:
    total = {**one, **other}
    for name in one.keys() & other.keys():
        before, after = one[name], other[name]
        if isinstance(before, Mapping) and isinstance(after, Mapping) and depth < _DEEPEST:
            total[name] = _sum(before, after, depth + 1)
        elif _is_count(before) and _is_count(after):
            total[name] = before + after
    return total


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
