"""How many prompts a client may send: a bucket for each, which fills evenly. No clock, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

# The most clients that are remembered; the one that was quiet longest is forgotten first.
MOST_CLIENTS = 10_000


class Rate:
    """At most `per_minute` prompts of each client in a minute, and as many at once."""

    def __init__(self, per_minute: int, most_clients: int = MOST_CLIENTS) -> None:
        self._size, self._per_second = float(per_minute), per_minute / 60
        self._most_clients = most_clients
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # left, when

    def wait(self, client: Hashable, now: float) -> float:
        """Take one prompt of `client`; return 0, or the seconds after which it may come again."""
        left, when = self._buckets.pop(client, (self._size, now))
        left = min(self._size, left + max(0.0, now - when) * self._per_second)
        allowed = left >= 1
        self._buckets[client] = (left - 1 if allowed else left), now
        if len(self._buckets) > self._most_clients:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second
