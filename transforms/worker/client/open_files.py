"""Makes sure that a process may open a socket for each request in flight.

The problem: each request in flight needs a file descriptor. Shells start programs with 1,024 of
them. A process without any left can open neither connections nor the files of its results.

The idea: before the first request, raise the process's own limit to what it needs. If the machine
forbids that, keep fewer requests in flight, and say so.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress

try:
    import resource
except ImportError:  # Windows, where sockets are no descriptors
    resource = None  # type: ignore[assignment]

_log = logging.getLogger("transforms.worker")

# What the process may open besides sockets: the journal, outputs, inputs, the runner's own files.
_RESERVE = 64
# Sockets for each request: hedges, attempts at several addresses, connections that just closed.
_SOCKETS = 1.25


def in_flight_within_limit(wanted: int) -> int:
    """Return `wanted` requests in flight, or fewer if this process cannot open as many sockets.

    Raises the process's soft limit of descriptors as far as needed. Logs a warning if it returns
    fewer.
    """
    if resource is None:
        return wanted
    kept = _opened() + _RESERVE
    most = _raise_limit(kept + int(wanted * _SOCKETS) + 1)
    affordable = max(1, int((most - kept) / _SOCKETS))
    if affordable >= wanted:
        return wanted
    _log.warning(
        "this process may open %d files, too few for %d requests in flight; it keeps %d. Raise the"
        " limit with `ulimit -Hn`, or lower max_in_flight",
        most,
        wanted,
        affordable,
    )
    return affordable


def _raise_limit(needed: int) -> int:
    """Raise the soft limit to `needed` if possible; return the limit that holds then."""
    soft, hard = (_finite(each) for each in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < needed and soft < hard:
        with suppress(OSError, ValueError):  # some systems have a lower bound than they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), _plain(hard)))
            soft = min(needed, hard)
    return soft


_UNLIMITED = 1 << 30


def _finite(limit: int) -> int:
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _plain(limit: int) -> int:
    return resource.RLIM_INFINITY if limit == _UNLIMITED else limit


def _opened() -> int:
    """Return how many descriptors the process has open."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _RESERVE
