"""Merge counts of tokens that arrive in several parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(known: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return `known`, updated by `later` at any depth.

    A later number replaces an earlier one. A field that `later` lacks, or has as null or empty,
    keeps its value. Merging is associative, as the sum of chunks must be.
    """
    summed = dict(known)
    for name, value in later.items():
        before = summed.get(name)
        if isinstance(before, Mapping):
            if isinstance(value, Mapping):
                summed[name] = merged(before, value)
        elif before is None or not _is_empty(value):
            summed[name] = value
    return summed


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}
