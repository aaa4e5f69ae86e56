"""Checks that the values of an element have the types of its columns: coders fail on others.

Elements that this process made fit. Those from a journal or a topic may hold anything. Pure.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

_WHOLE = range(-(1 << 63), 1 << 63)


def fits(element: NamedTuple) -> bool:
    """Return whether each value of `element` has the type of its column."""
    return all(map(_fits, element, _kinds(type(element))))


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    if not isinstance(value, kinds):
        return False
    return not isinstance(value, int) or value in _WHOLE


@cache
def _kinds(element: type) -> tuple[tuple[type, ...], ...]:
    """Return the types that each column may have; a whole number fits a column of floats."""
    hints = get_type_hints(element)
    kinds = [get_args(hints[name]) or (hints[name],) for name in element._fields]  # type: ignore[attr-defined]
    return tuple((*each, int) if float in each else tuple(each) for each in kinds)
