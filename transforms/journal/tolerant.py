"""A journal that does not stop the job when it becomes unavailable.

After a failure the journal is paused, so that a dead server does not slow every row down:

    in use --JournalUnavailable--> paused for 10 s --> next call tries it: in use, or paused again

The log has one line when the journal is lost and one when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from transforms.journal.base import NOTHING, Journal, JournalUnavailable, Spent
from transforms.journal.key import JournalKey

_log = logging.getLogger("transforms.journal")
_Result = TypeVar("_Result")
_PAUSE = 10.0  # seconds: one slow call in this time is acceptable, one per row is not


class TolerantJournal:
    """Passes calls on to `journal` while that is available; else finds and records nothing.

    `missed` counts the calls that the journal did not serve.
    """

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._again_at: float | None = None  # None while the journal is in use
        self._newest: _Group | None = None
        self.missed = 0

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`; None also while the journal is unavailable."""
        return self._try(lambda: self._journal.lookup(key), None)

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request; None also while unavailable."""
        return self._try(lambda: self._journal.lookup_equal(request), None)

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Record `value` if possible; the future never fails."""
        return self._put(lambda: self._journal.record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add spending if possible; the future never fails."""
        return self._put(lambda: self._journal.spend(spent))

    def spent(self) -> Spent:
        """Return what all runs have spent; nothing while the journal is unavailable."""
        return self._try(self._journal.spent, NOTHING)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _try(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        if self._is_pausing():
            return otherwise
        try:
            result = call()
        except JournalUnavailable as error:
            self._failed(error)
            return otherwise
        self._succeeded()
        return result

    def _put(self, put: Callable[[], Future[None]]) -> Future[None]:
        if self._is_pausing():
            return _kept()
        written = put()
        # Records of one group share a future, so one future here serves them all: a callback per
        # record would cost more.
        with self._lock:
            group = self._newest
            if group is not None and group.written is written:
                group.size += 1
                return group.kept
            group = self._newest = _Group(written)
        written.add_done_callback(lambda _: self._settle(group))
        return group.kept

    def _settle(self, group: _Group) -> None:
        with self._lock:
            if self._newest is group:  # it refers to this journal, which would never be collected
                self._newest = None
        error = group.written.exception()
        if error is not None and not isinstance(error, JournalUnavailable):
            group.kept.set_exception(error)  # a bug: it must not look like an outage
            return
        if error is None:
            self._succeeded()
        else:
            self._failed(error, group.size)
        group.kept.set_result(None)

    def _is_pausing(self) -> bool:
        if self._again_at is None:  # nearly always, so no lock is taken
            return False
        with self._lock:
            pausing = self._again_at is not None and self._clock() < self._again_at
            self.missed += pausing
        return pausing

    def _failed(self, error: JournalUnavailable, calls: int = 1) -> None:
        with self._lock:
            news = self._again_at is None
            self._again_at = self._clock() + _PAUSE
            self.missed += calls
        if news:
            _log.warning(
                "journal unavailable, continuing without it; requests may be repeated: %s", error
            )

    def _succeeded(self) -> None:
        if self._again_at is None:
            return
        with self._lock:
            self._again_at = None
        _log.warning("the journal is available again; it missed %d calls", self.missed)


class _Group:
    """Records that the journal writes together: its future, and the one that never fails."""

    def __init__(self, written: Future[None]) -> None:
        self.written = written
        self.kept: Future[None] = Future()
        self.kept.set_running_or_notify_cancel()
        self.size = 1


def _kept() -> Future[None]:
    kept: Future[None] = Future()
    kept.set_result(None)
    return kept
