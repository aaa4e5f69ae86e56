"""Checks that the values of an element have the types of its columns: coders fail on others.

Elements that this process made fit. Those from a journal or a topic may hold anything. Pure.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, get_args, get_type_hints

_WHOLE = range(-(1 << 63), 1 << 63)


def fits(element: NamedTuple) -> bool:
    """Return whether each value of `element` has the type of its column."""
    for value, kinds in zip(element, _kinds(type(element)), strict=True):
        if value is None or type(value) is str:  # most values
            if type(value) not in kinds:
                return False
        elif not isinstance(value, kinds) or (isinstance(value, int) and value not in _WHOLE):
            return False
    return True


@cache
def _kinds(element: type) -> tuple[tuple[type, ...], ...]:
    """Return the types that each column may have; a whole number fits a column of floats."""
    hints = get_type_hints(element)
    kinds = [get_args(hints[name]) or (hints[name],) for name in element._fields]  # type: ignore[attr-defined]
    return tuple((*each, int) if float in each else tuple(each) for each in kinds)
