"""Keeps idle connections for the next request to the same origin: extra `fast`."""

from __future__ import annotations

import threading
import time
from typing import Generic, Protocol, TypeVar

from ritellm.transports.fast.http11 import Origin
from ritellm.transports.sockets import IDLE_SECONDS


class Connection(Protocol):
    """What the pool needs of a connection."""

    idle_since: float

    @property
    def is_alive(self) -> bool:
        """Whether the server has kept the connection open and silent."""

    def make_idle(self) -> bool:
        """Prepare for another request; return whether there may be one."""

    def close(self) -> None:
        """Close the connection at once."""


C = TypeVar("C", bound=Connection)


class Pool(Generic[C]):
    """Idle connections by origin. Threads may share a pool; a lent connection has one user.

    The garbage collector may give a connection back while the same thread has the lock. So the lock
    is reentrant, and no change of `_idle` drops what is given back in the middle of it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._idle: dict[Origin, list[C]] = {}

    def take(self, origin: Origin) -> C | None:
        """Return the connection to `origin` that was used last and is alive, or None."""
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                if not idle:
                    return None
                connection = idle.pop()
            if self._is_young(connection) and connection.is_alive:
                return connection
            connection.close()

    def give(self, origin: Origin, connection: C) -> bool:
        """Keep `connection`, or close it if it cannot be reused; return whether it was kept."""
        if not connection.make_idle():
            connection.close()
            return False
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(origin, []).append(connection)
        return True

    def expire(self) -> bool:
        """Close the connections that were idle for too long; return whether any are left."""
        with self._lock:
            every, self._idle = self._idle, {}
            for origin, idle in every.items():
                for each in idle:
                    if self._is_young(each) and each.is_alive:
                        self._idle.setdefault(origin, []).append(each)
                    else:
                        each.close()
            return bool(self._idle)

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            every, self._idle = self._idle, {}
        for idle in every.values():
            for connection in idle:
                connection.close()

    def _is_young(self, connection: C) -> bool:
        return time.monotonic() - connection.idle_since < IDLE_SECONDS
