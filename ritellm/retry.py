"""When to ask again, and how long to wait first. Pure: the dice are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime

from ritellm.errors import RateLimitError, RitellmError, ServiceUnavailableError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; a provider's `Retry-After` counts as a floor.

    `num_retries` is the number of attempts after the first; delays are in seconds. A provider
    that asks for more patience than `longest_wait` is believed, and not waited for.
    """

    num_retries: int = 2
    first_delay: float = 0.5
    longest_delay: float = 20.0
    longest_wait: float = 120.0

    def delay(self, attempt: int, error: RitellmError, jitter: float) -> float | None:
        """Return the seconds to wait after failed `attempt` (from 1), or None to give up.

        `jitter` is a random number in [0, 1).
        """
        if not error.retryable or attempt > self.num_retries:
            return None
        wait = self.backoff(attempt, jitter)
        if error.retry_after is None:
            return wait
        if error.retry_after > self.longest_wait:
            return None
        # Never earlier than asked, and not all at the same moment.
        return error.retry_after + wait * 0.1

    def backoff(self, attempt: int, jitter: float) -> float:
        """Return the exponential delay after failed `attempt`, half of it left to chance."""
        longest = min(self.longest_delay, self.first_delay * 2.0 ** min(attempt - 1, 64))
        return longest * (0.5 + jitter / 2)


def is_throttle(error: RitellmError) -> bool:
    """Return whether `error` says "not now" rather than "not this"."""
    return error.retryable and isinstance(error, (RateLimitError, ServiceUnavailableError))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that response `headers` (lower-case names) ask us to wait, if they do.

    RFC 9110, section 10.2.3: seconds or a date (read against the response's own `Date`, so that no
    clock is needed here); `retry-after-ms` is OpenAI's and Azure's.
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    return seconds if seconds is not None else _seconds_until(value, headers.get("date"))


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return None


def _seconds_until(then: str | None, now: str | None) -> float | None:
    if not then or not now:
        return None
    try:
        until, since = parsedate_to_datetime(then), parsedate_to_datetime(now)
    except (TypeError, ValueError):
        return None
    # An HTTP date is GMT; one that forgets to say so parses as naive.
    gap = until.replace(tzinfo=timezone.utc) - since.replace(tzinfo=timezone.utc)
    return max(0.0, gap.total_seconds())
