"""How long one plan waits between its attempts. No I/O, no clock.

Problem: an attempt fails for one of two reasons. The request is at fault: then a few retries are
enough, soon. Or the server refuses everybody, or cannot be reached: then the request must wait for
as long as the server needs, and others must not be hurried either.

Idea: with a gate, attempts that the server's trouble ended cost time (`give_up_after`) but no
retries. The gate tells whether it accepted other requests during a wait. If it did, the failed
request waits only a part of its delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ritellm.calls.plan import Plan
from ritellm.endpoints import Endpoint
from ritellm.errors import RitellmError
from ritellm.rate_limits.pace import rest
from ritellm.retry import is_outage, is_throttle

if TYPE_CHECKING:
    from ritellm.rate_limits.gate import Gate, Share

# If a request fails while others succeed, it waits this part of its delay, at most these seconds.
# After this many such failures, the request itself is assumed to be at fault.
_ALONE, _LONGEST_ALONE, _SURELY_ALONE = 0.2, 0.3, 2


class Backoff:
    """The attempts of one plan, and the delays between them; a fallback begins a new one."""

    def __init__(self, plan: Plan, gate: Gate | Share | None) -> None:
        self._plan = plan
        self._gate = gate
        self.tries = 0  # attempts
        self.continued = 0  # attempts that max_tokens cut off; a further one continues the answer
        self._error: RitellmError | None = None  # of the newest attempt
        self._servers = False  # that error is the server's trouble
        # Attempts that ended for the server's trouble.
        self._throttled = 0
        self._throttled_since: float | None = None  # the start of the current series of them
        self._series = 0  # the length of that series
        self._failed_alone = 0  # failures while the provider accepted other requests

    @property
    def waits_for_server(self) -> bool:
        """Whether the newest attempt cost no retry: it ended for the server's trouble."""
        return self._throttled_since is not None

    def delay(
        self, error: RitellmError, endpoint: Endpoint, sent_at: float, now: float, jitter: float
    ) -> float | None:
        """Return the seconds until the next attempt, or None if there is none.

        `sent_at` is when the failed attempt began, at `endpoint`. `jitter` is a random number in
        [0, 1).
        """
        self._error, self._servers = error, self._is_servers(error, endpoint)
        gate, retry = self._gate, self._plan.retry
        if endpoint.tape is not None:
            return endpoint.tape.delay(self.tries)
        if gate is None or not self._servers:
            self._throttled_since = None
            return retry.delay(self.tries - self._throttled - self.continued, error, jitter)
        self._throttled += 1
        if self._throttled_since is None:
            self._throttled_since, self._series = sent_at, 0
        self._series += 1
        waited = now - self._throttled_since
        if (left := gate.limits.give_up_after - waited) <= 0:
            what = "of throttling" if is_throttle(error) else "without a connection"
            error.message += f" (gave up after {waited:.0f} s {what})"
            return None
        return min(left, rest(self._series, error.retry_after, jitter))

    def _is_servers(self, error: RitellmError, endpoint: Endpoint) -> bool:
        """Return whether `error` is the server's trouble, so that waiting costs no retries.

        An outage is, also one that was there when the process started. A fallback need not wait for
        its end.
        """
        if is_throttle(error):
            return True
        if self._gate is None or self._plan.fallbacks or not is_outage(error, reached=True):
            return False
        return is_outage(error, self._gate.has_reached(endpoint.base_url))

    def shortest_rest(self, delay: float) -> float:
        """Return the part of `delay` that is enough if the provider accepts other requests.

        Backing off relieves the provider. If this request alone fails, there is nothing to relieve.
        """
        error = self._error
        if error is None or self._servers or error.retry_after is not None:
            return delay
        return min(delay * _ALONE, _LONGEST_ALONE)

    def longest_rest(self, delay: float) -> float:
        """Return how long to wait until the provider accepts other requests."""
        alone = self._failed_alone >= _SURELY_ALONE
        return self.shortest_rest(delay) if alone else delay

    def rested(self, others_accepted: bool) -> None:
        """Note whether the provider accepted other requests during the wait."""
        if self._error is not None and not self._servers:  # a refusal is not the request's fault
            self._failed_alone += others_accepted
