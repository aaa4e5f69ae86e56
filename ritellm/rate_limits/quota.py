"""The callers' own limits on requests and tokens per minute, for all callers of one key. Pure.

The problem: several callers in a process send requests to one endpoint with one key, each with
limits of its own. If each had its own buckets, callers with equal limits would send a multiple of
what each of them allows.

The idea: there is one bucket for each value of a limit. A request takes from the bucket of its
caller's limit, and from those of all larger limits.

What holds: the callers whose limit is N or less send N a minute together. A caller without a limit
waits for no bucket.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ritellm.rate_limits.bucket import Bucket


class Quotas:
    """The buckets of one endpoint and key; `of` gives a caller its share of them."""

    def __init__(self) -> None:
        self._requests: dict[float, Bucket] = {}
        self._tokens: dict[float, Bucket] = {}
        self._quotas: dict[tuple[float, float], Quota] = {}

    def of(self, rpm: float | None, tpm: float | None, now: float) -> Quota:
        """Return the quota of callers with these limits; equal limits share one."""
        limits = rpm or math.inf, tpm or math.inf
        found = self._quotas.get(limits)
        if found is None:
            for limit, buckets in zip(limits, (self._requests, self._tokens), strict=True):
                if limit < math.inf and limit not in buckets:
                    buckets[limit] = Bucket(limit, now)
            found = self._quotas[limits] = Quota(limits, self._requests, self._tokens)
        return found


class Quota:
    """What callers with equal limits may send."""

    __slots__ = ("_requests", "_tokens", "rpm", "tpm")

    def __init__(
        self,
        limits: tuple[float, float],
        requests: dict[float, Bucket],
        tokens: dict[float, Bucket],
    ) -> None:
        self.rpm, self.tpm = limits
        self._requests, self._tokens = requests, tokens

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of a request count."""
        return self.tpm < math.inf

    def requests_ready(self, now: float) -> float:
        """Return when one more request may be sent."""
        if self.rpm == math.inf:
            return now
        return max((each.ready(1, now) for each in self._of(self._requests, self.rpm)), default=now)

    def tokens_ready(self, tokens: float, now: float) -> float:
        """Return when `tokens` may be taken."""
        if self.tpm == math.inf:
            return now
        buckets = self._of(self._tokens, self.tpm)
        return max((each.ready(tokens, now) for each in buckets), default=now)

    def start(self, tokens: float, now: float) -> None:
        """Take one request with `tokens`."""
        if self.rpm < math.inf:
            for each in self._of(self._requests, self.rpm):
                each.take(1, now)
        self.take(tokens, now)

    def take(self, tokens: float, now: float) -> None:
        """Take `tokens` more, or give them back."""
        if self.tpm < math.inf:
            for each in self._of(self._tokens, self.tpm):
                each.take(tokens, now)

    @staticmethod
    def _of(buckets: dict[float, Bucket], limit: float) -> Iterator[Bucket]:
        return (bucket for value, bucket in buckets.items() if value >= limit)
