"""The columns of a row that are sums over its requests. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transforms.elements import Completion, DeadLetter

_SUMS = (
    "prompt_tokens completion_tokens total_tokens cached_tokens reasoning_tokens seconds"
).split()


def sums_of(past: Sequence[Completion]) -> dict[str, Any]:
    """Return the tokens and the seconds of the requests, each a sum."""
    return {name: _sum([getattr(each, name) for each in past]) for name in _SUMS}


def _sum(values: Sequence[Any]) -> Any:
    """Return the sum of the values that are known, None without any."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def sum_if_known(values: Sequence[float | None]) -> float | None:
    """Return the sum, None if a part of it is not known."""
    return None if None in values else sum(value or 0.0 for value in values)


def waste_of(rows: Sequence[Completion | DeadLetter]) -> dict[str, Any]:
    """Return what the requests have wasted."""
    return {
        "wasted_tokens": sum(row.wasted_tokens for row in rows),
        "wasted_cost_usd": sum_if_known([row.wasted_cost_usd for row in rows]),
        "waste_estimated": any(row.waste_estimated for row in rows),
    }
