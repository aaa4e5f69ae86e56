"""The pool of httpx's connections, safe against the garbage collector.

Problem: a stream that a caller drops in a reference cycle is closed by the garbage collector, which
runs at any moment, in any thread. Closing it takes the lock of the pool. httpcore's lock is not
reentrant, so a thread in which the collector runs while it works on the pool waits for itself
(encode/httpcore#990).

Idea: what the collector closes while this thread has the lock is put off until the thread has
released it. A reentrant lock alone would let one change of the pool interrupt another.

httpx offers no way to pass a lock. If a later version renames the attributes that are used here,
its own lock stays.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

import httpx

# From a response of httpx to the stream of httpcore whose `close` takes the lock.
_PATH_TO_STREAM = ("stream", "_stream", "_httpcore_stream")


class PoolLock:
    """A lock whose owner can put actions off until it has released it."""

    def __init__(self) -> None:
        # Reentrant, because it knows its owner from the moment it is acquired.
        self._lock: Any = threading.RLock()
        self._put_off: deque[Callable[[], object]] = deque()

    def __enter__(self) -> PoolLock:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        while self._put_off and not self.is_mine:
            with suppress(IndexError):  # another thread was quicker
                action = self._put_off.popleft()
                with suppress(Exception):  # the reader of that stream is gone
                    action()

    @property
    def is_mine(self) -> bool:
        """Whether the current thread has the lock."""
        return bool(self._lock._is_owned())

    def put_off(self, action: Callable[[], object]) -> None:
        """Run `action` once the current thread, which has the lock, has released it."""
        self._put_off.append(action)


def guard(pool: Any) -> PoolLock | None:
    """Return the lock that `pool`, a pool of blocking connections, has from now on."""
    lock = getattr(pool, "_optional_thread_lock", None)
    if lock is None or isinstance(lock, PoolLock):
        return lock
    with lock:  # another client may be at work on a pool of the caller's
        pool._optional_thread_lock = guarded = PoolLock()
    return guarded


def make_collectable(response: httpx.Response) -> None:
    """Let the garbage collector close `response` at any moment."""
    found: Any = response
    for name in _PATH_TO_STREAM:
        found = getattr(found, name, None)
    pool = getattr(found, "_pool", None)
    if isinstance(getattr(pool, "_optional_thread_lock", None), PoolLock):
        # Its own iterator calls `close`, so a wrapper would not do.
        kind: Any = type(found)
        found.__class__ = _collectable(kind)


@lru_cache
def _collectable(kind: Any) -> type:
    def close(self: Any) -> None:
        lock = self._pool._optional_thread_lock
        if lock.is_mine:
            lock.put_off(partial(kind.close, self))
        else:
            kind.close(self)

    return type(kind.__name__, (kind,), {"close": close})
