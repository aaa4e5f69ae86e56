"""Records from any thread, written in groups by a thread of their own: one fsync serves many."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future

from transforms.journal.base import JournalUnavailable, Record, Write


class _Group:
    """Records that are written together, and the future of them all."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.written: Future[None] = Future()
        self.written.set_running_or_notify_cancel()  # who is cancelled takes none back


class GroupCommit:
    """Calls `write` with the records that came while it wrote the ones before.

    A group has at most `most` records. Where writing is dear it waits up to `linger` seconds to
    grow, but no longer than `quiet` seconds for the next record: they may all be waiting for it.
    `write` returns when its records are durable, or raises: then the future of the group fails.
    """

    def __init__(
        self, write: Write, *, most: int = 1000, linger: float = 0.0, quiet: float = 0.25
    ) -> None:
        self._write = write
        self._most = most
        self._linger = linger
        self._quiet = quiet
        self._groups: deque[_Group] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ritellm-journal", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> Future[None]:
        """Return a future that is done once `record` is durable; a group shares one."""
        with self._changed:
            if self._closed:
                refused: Future[None] = Future()
                refused.set_exception(JournalUnavailable("the journal is closed"))
                return refused
            if not self._groups or len(self._groups[-1].records) >= self._most:
                self._groups.append(_Group())
            group = self._groups[-1]
            group.records.append(record)
            if len(group.records) in (1, self._most):
                self._changed.notify()
        return group.written

    def close(self) -> None:
        """Write what is waiting; returns when it is durable."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            error = self._failure(group.records)
            if error is None:
                group.written.set_result(None)
            else:
                group.written.set_exception(error)

    def _next_group(self) -> _Group | None:
        """Return the next group; None means that all is written and closed."""
        with self._changed:
            while not self._groups and not self._closed:
                self._changed.wait()
            self._wait_for_more()
            return self._groups.popleft() if self._groups else None

    def _wait_for_more(self) -> None:
        until = time.monotonic() + self._linger
        while not self._closed and len(self._groups[0].records) < self._most:
            size, left = len(self._groups[0].records), until - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, self._quiet))
            if len(self._groups[0].records) == size:
                return

    def _failure(self, records: list[Record]) -> BaseException | None:
        try:
            self._write(records)
        except BaseException as error:  # carried to whoever waits for these records
            return error
        return None
