"""Whether to retry a failed attempt, and how long to wait first. Pure: randomness is passed in."""

from __future__ import annotations

from dataclasses import dataclass

from ritellm.errors import RateLimitError, RitellmError, ServiceUnavailableError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; the provider's `Retry-After` is the minimum delay."""

    num_retries: int = 2
    """The number of attempts after the first."""
    first_delay: float = 0.5
    """Seconds before the second attempt; half of each delay is random."""
    longest_delay: float = 20.0
    """Seconds that the doubled delays never exceed."""
    longest_wait: float = 120.0
    """Seconds. If a provider demands a longer wait, the policy gives up at once."""

    def delay(self, attempt: int, error: RitellmError, jitter: float) -> float | None:
        """Return the seconds to wait after failed `attempt` (from 1), or None to give up.

        `jitter` is a random number in [0, 1).
        """
        if not error.retryable or attempt > self.num_retries:
            return None
        wait = self.backoff(attempt, jitter)
        if error.retry_after is None:
            return wait
        if self._is_too_long(error):
            return None
        # Never earlier than the provider demands, and spread out, so that clients do not return
        # all at the same moment.
        return error.retry_after + wait * 0.1

    def refusal(self, error: RitellmError) -> str:
        """Return what to append to the message of an `error` whose wait is too long, else ""."""
        if not error.retryable or not self._is_too_long(error):
            return ""
        return (
            f" (the provider asks to wait {error.retry_after:.0f} s, and the longest wait is"
            f" {self.longest_wait:g} s)"
        )

    def _is_too_long(self, error: RitellmError) -> bool:
        return error.retry_after is not None and error.retry_after > self.longest_wait

    def backoff(self, attempt: int, jitter: float) -> float:
        """Return the exponential delay after failed `attempt`; half of it is random."""
        longest = min(self.longest_delay, self.first_delay * 2.0 ** min(attempt - 1, 64))
        return longest * (0.5 + jitter / 2)


def is_throttle(error: RitellmError) -> bool:
    """Return whether `error` is a temporary refusal: a rate limit or an overload."""
    return error.retryable and isinstance(error, (RateLimitError, ServiceUnavailableError))


# The codes of errors for a connection that was never made: the server is down, or its address is
# wrong. A name that does not exist, and a certificate that does not match, rather are wrong.
_DOWN = frozenset({"cannot_connect", "connect_timeout"})
_RATHER_WRONG = frozenset({"unknown_host", "no_tls"})


def is_outage(error: RitellmError, reached: bool) -> bool:
    """Return whether no connection could be made for the server's trouble, not the request's.

    `reached` says whether the server has responded before. Then its address is right.
    """
    return error.retryable and (error.code in _DOWN or (reached and error.code in _RATHER_WRONG))
