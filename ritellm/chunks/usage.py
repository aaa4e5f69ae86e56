"""Counts of tokens that come in several pieces: later ones add to what is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(known: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return `known` with what `later` says, at any depth.

    A later number replaces an earlier one. What `later` leaves out, or has as null or empty, stays
    as it was. This is associative, as the sum of chunks must be.
    """
    summed = dict(known)
    for name, value in later.items():
        before = summed.get(name)
        if isinstance(before, Mapping):
            if isinstance(value, Mapping):
                summed[name] = merged(before, value)
        elif before is None or not _says_nothing(value):
            summed[name] = value
    return summed


def _says_nothing(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}
