"""What a page shows, as one JSON object: the report, its details, and what the job is doing.

All texts of rows, models and providers are made printable here: no control characters, none that
reorder a line, no halves of surrogate pairs. The page adds them as text, never as HTML.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipelines.pages.activity import Activity
from pipelines.pages.details import Bucket, Details
from pipelines.pages.options import TextMode
from ritellm.quantiles import Quantiles
from ritellm.terminal import clean

# The most bytes of the data of a page, by its texts. Texts are cut shorter until they fit.
_MOST_BYTES: Mapping[TextMode, int] = {"none": 4_500_000, "sample": 4_500_000, "all": 50_000_000}
_LEAST_TEXT = 20
# Facts that a page does not show: the flags may hold prompts.
_NOT_SHOWN = frozenset(("flags", "address", "files", "journal", "host", "pid"))
_TEXTS = ("prompt", "answer", "message")
_ODD = re.compile(r"[^\x20-\x7e\n]+")

Json = dict[str, Any]


def page_data(
    report: Mapping[str, Any],
    details: Details,
    activity: Activity | None = None,
    text: TextMode = "sample",
    state: Mapping[str, Any] | None = None,
) -> Json:
    """Return the data of a page for `report`, which `Totals.as_dict` and the job's facts make.

    `state` is what is known of a job that runs.
    """
    numbers = numbers_of(report, details, activity, text, state)
    return {**numbers, **fitted_rows(details, _MOST_BYTES[text])}


def numbers_of(
    report: Mapping[str, Any],
    details: Details,
    activity: Activity | None,
    text: TextMode,
    state: Mapping[str, Any] | None,
) -> Json:
    """Return the part of the data that has no rows."""
    return {
        "report": printable({k: v for k, v in report.items() if k not in _NOT_SHOWN}),
        "state": dict(state or {}),
        "text": text,
        "timeline": {"width": details.timeline.width, "points": list(_points(details))},
        "activity": {
            "width": activity.width if activity else 1,
            "points": activity.points() if activity else [],
        },
        "lengths": {
            "prompt": _lengths(details.prompt_tokens),
            "completion": _lengths(details.completion_tokens),
        },
    }


def printable(value: Any, longest: int | None = None) -> Any:
    """Return a JSON value with printable texts of at most `longest` characters."""
    if isinstance(value, str):
        return _printable_text(value, longest)
    if isinstance(value, Mapping):
        return {_printable_text(str(k), None): printable(v, longest) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [printable(item, longest) for item in value]
    return value


def _printable_text(text: str, longest: int | None) -> str:
    if longest is not None and len(text) > longest:
        text = text[:longest] + "…"
    return _ODD.sub(lambda match: clean(match[0]), text)


def _rows(details: Details, longest: int | None) -> Json:
    return {
        "rows": [_row(entry, longest) for entry in details.rows],
        "slowest": [_row(entry, longest) for entry in details.slowest],
        "failures": {
            _printable_text(name, None): [_row(entry, longest) for entry in entries]
            for name, entries in details.failures.items()
        },
    }


def _row(entry: bytes, longest: int | None) -> Json:
    row: Json = orjson.loads(entry)
    return {k: printable(v, longest if k in _TEXTS else None) for k, v in row.items()}


def fitted_rows(details: Details, most: int) -> Json:
    """Return the part with rows, with texts so short that it takes at most `most` bytes."""
    longest: int | None = None
    while True:
        found = _rows(details, longest)
        if len(escaped(found)) <= most or (longest or 1 << 30) <= _LEAST_TEXT:
            return {**found, "cut_at": longest}
        longest = (longest or 1 << 17) // 2


def escaped(data: Any) -> bytes:
    """Return `data` as JSON that may stand in a `<script>` of an HTML page."""
    text = orjson.dumps(data)
    for char, escape in _ESCAPES:
        text = text.replace(char, escape)
    return text


_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def _points(details: Details) -> Iterator[Json]:
    for start, bucket in details.timeline:
        yield {"t": start, **_point(bucket)}


def _point(bucket: Bucket) -> Json:
    return {
        "completed": bucket.completed,
        "failed": bucket.failed,
        "tokens": bucket.tokens,
        "cost": round(bucket.cost, 9),
        "ttft": _ends(bucket.ttft, bucket.ttft),
        "gap": _ends(bucket.gap_p50, bucket.gap_p95),
    }


def _ends(middle: Quantiles, high: Quantiles) -> list[float | None]:
    ends = middle.at(0.5), high.at(0.95)
    return [None if end is None else round(end, 6) for end in ends]


def _lengths(counts: Counter[int]) -> list[list[int]]:
    """Return [first length, last length, rows] of each class of lengths, without gaps."""
    if not counts:
        return []
    return [
        [1 << (digits - 1) if digits else 0, (1 << digits) - 1, counts[digits]]
        for digits in range(min(counts), max(counts) + 1)
    ]
