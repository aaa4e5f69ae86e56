"""Read rate limits from response headers: what is left, when it resets, how long to wait.

Pure: this module needs no clock, because it reads times relative to the response's own `Date`.
Header names are in lower case. An implausible value counts as absent, and `oddities` reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache

# Seconds: one day. Providers count requests and tokens by the minute, the hour and the day
# (OpenAI's daily limit says "6h12m"). A longer wait, as for a monthly quota, counts as this.
LONGEST_WAIT = 86_400.0

# A number above this (three years in seconds) is a time since 1970, not a wait.
_ABSURD = 1e8
# A time since 1970 is below this in seconds, and above it in milliseconds.
_MILLISECONDS = 1e11
_SHOWN = 40  # characters of a value in a report

# OpenAI, Azure, Groq and others; Cerebras, with a period; Together, OpenRouter and others, without
# a kind; the older IETF draft; Anthropic, whose resets are RFC 3339.
_BUDGETS = (
    *(
        (kind, f"x-ratelimit-remaining-{kind}{period}", f"x-ratelimit-reset-{kind}{period}")
        for kind in ("requests", "tokens")
        for period in ("", "-minute", "-hour", "-day")
    ),
    ("requests", "x-ratelimit-remaining", "x-ratelimit-reset"),
    ("requests", "ratelimit-remaining", "ratelimit-reset"),
    *(
        (what.rpartition("-")[2], f"anthropic-ratelimit-{what}-remaining", f"{prefix}-reset")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
        for prefix in (f"anthropic-ratelimit-{what}",)
    ),
)
_COUNTS = frozenset(remaining for _, remaining, _ in _BUDGETS)
_WAITS = frozenset(reset for _, _, reset in _BUDGETS) | {"retry-after", "retry-after-ms"}
_OF_BUDGETS = _COUNTS | _WAITS - {"retry-after", "retry-after-ms"}
_KNOWN = _COUNTS | _WAITS

_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|d|h|m|s)")
_PARTS = re.compile(rf"(?:{_PART.pattern})+")
# Python 3.10 reads a fraction of a second only with three or six digits.
_FRACTION = re.compile(r"\.\d+")


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a limit on "requests" or "tokens", and the seconds until it resets.

    Both may be unknown. `reset` lies between 0 and `LONGEST_WAIT`.
    """

    kind: str
    remaining: float | None
    reset: float | None


def budgets(headers: Mapping[str, str]) -> tuple[Budget, ...]:
    """Return the budgets in response `headers`; a kind may occur more than once."""
    if _OF_BUDGETS.isdisjoint(headers):
        return ()
    return tuple(
        Budget(kind, count(headers.get(remaining)), _wait(headers, reset))
        for kind, remaining, reset in _BUDGETS
        if remaining in headers or reset in headers
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the wait in seconds that `headers` demand, at most `LONGEST_WAIT`, or None.

    RFC 9110, section 10.2.3: seconds or a date; `retry-after-ms` is OpenAI's and Azure's.
    """
    millis = _wait(headers, "retry-after-ms")
    return millis if millis is not None else _wait(headers, "retry-after")


def duration(text: str | None) -> float | None:
    """Return the seconds in `1s`, `6m0s`, `120ms` or a number, bounded, or None."""
    seconds = _seconds(text or "")
    if seconds is None or not 0 <= seconds < _ABSURD:
        return None
    return min(seconds, LONGEST_WAIT)


def count(text: str | None) -> float | None:
    """Return the number in `text`, or None; never negative."""
    number = _number(text or "")
    return number if number is not None and number >= 0 else None


def oddities(headers: Mapping[str, str]) -> list[str]:
    """Return a line for each limit header whose value is ignored or reduced."""
    if _KNOWN.isdisjoint(headers):
        return []
    return list(_oddities(headers))


def _oddities(headers: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(_KNOWN.intersection(headers)):
        read = count(headers[name]) if name in _COUNTS else _span(headers, name)
        if read is None:
            yield f"{name}: {_shown(headers[name])} (ignored)"
        elif name in _WAITS and read > LONGEST_WAIT:
            yield f"{name}: {_shown(headers[name])} (taken as {LONGEST_WAIT:g} s)"


def _shown(value: str) -> str:
    return ascii(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")


def _wait(headers: Mapping[str, str], name: str) -> float | None:
    """Return the seconds in the header `name`, at most `LONGEST_WAIT`."""
    span = _span(headers, name)
    return None if span is None else min(span, LONGEST_WAIT)


def _span(headers: Mapping[str, str], name: str) -> float | None:
    """Return the seconds in the header `name`, or None if its value is implausible."""
    text = headers.get(name)
    if not text:
        return None
    seconds = _seconds(text)
    if seconds is None:
        return _until(_time(text), headers)
    if seconds >= _ABSURD:
        return _until(_since_1970(seconds), headers)
    if seconds < 0:
        return None
    return seconds / 1000 if name == "retry-after-ms" else seconds


@lru_cache(maxsize=1024)
def _seconds(text: str) -> float | None:
    """Return the number or the duration in `text`."""
    number = _number(text)
    if number is not None:
        return number
    text = text.strip()
    if not _PARTS.fullmatch(text):
        return None
    return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))


def _number(text: str) -> float | None:
    """Return the number in `text` if it is finite: `float` also reads "nan" and "inf"."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _until(then: datetime | None, headers: Mapping[str, str]) -> float | None:
    """Return the seconds from the response's `Date` to `then`: 0 if that was within a day."""
    now = _time(headers.get("date")) if then is not None else None
    if then is None or now is None:
        return None
    gap = (then - now).total_seconds()
    return max(0.0, gap) if -LONGEST_WAIT <= gap < _ABSURD else None


def _since_1970(number: float) -> datetime | None:
    seconds = number if number < _MILLISECONDS else number / 1000
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None


def _time(text: str | None) -> datetime | None:
    """Return the time in `text`, an HTTP date or RFC 3339."""
    if not text:
        return None
    is_rfc3339 = text[:4].isdigit()
    try:
        time = _rfc3339(text) if is_rfc3339 else parsedate_to_datetime(text)
    except (IndexError, OverflowError, TypeError, ValueError):
        return None
    # An HTTP date is always GMT, even if it lacks the zone and so parses as naive.
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _rfc3339(text: str) -> datetime:
    plain = text.strip().upper()
    plain = plain[:-1] + "+00:00" if plain.endswith("Z") else plain
    return datetime.fromisoformat(_FRACTION.sub("", plain))
