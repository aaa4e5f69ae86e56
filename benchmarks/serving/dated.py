"""Deltas that say their number and when they were published, and what a reader has of them. Pure.

The text of a delta is "NUMBER:MICROSECONDS ", of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from transforms import Delta

_TEXT = re.compile(rb"(\d+):(\d{9,}) ")
_CHUNK = (
    '{"id":"c","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":'
    '[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}'
)
_LAST = '{"object":"chat.completion.chunk","choices":[]}'


def delta(id: str, number: int, now: float, submission: str) -> Delta:
    """Return delta `number` of an answer, published at `now`."""
    text = f"{number}:{int(now * 1e6)} "
    return Delta(id, 1, number, text, None, _CHUNK % text, submission=submission)


def last_delta(id: str, number: int, submission: str) -> Delta:
    """Return the delta that ends an answer."""
    return Delta(id, 1, number, "", None, _LAST, True, "{}", None, submission)


def found(parts: Sequence[tuple[float, bytes]]) -> Iterable[tuple[int, float]]:
    """Return (number, seconds of delay) of each delta in what was received: (when, bytes)."""
    ends = list(accumulate(len(data) for _, data in parts))
    for match in _TEXT.finditer(b"".join(data for _, data in parts)):
        received = parts[bisect_right(ends, match.end() - 1)][0]
        yield int(match[1]), received - int(match[2]) / 1e6


def quantiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return the milliseconds at p50, p95 and p99."""
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: round(ordered[int(len(ordered) * q)] * 1000, 1) for name, q in at.items()}
