"""Writes records in groups on a thread of its own, so that one fsync serves many records.

The problem: a record is durable only after an fsync (or a round trip to a server, or a closed file
in a bucket). That takes milliseconds, and thousands of records arrive per second.

The idea: while one group is written, the records that arrive form the next group. Slow storage thus
makes larger groups by itself. All records of a group share one future.

    put(record) -> last group of the queue -> writer thread: write(records) -> group.written

What holds:

- Records are written in the order of `put`, and a group is written before the next one.
- A future is done only after `write` has returned or raised for its records.
- After `close` every earlier future is done, and `put` returns a failed one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future

from transforms.journal.base import JournalUnavailable, Record, Write

# A group has no more bytes of values than this, plus one value: it is copied while it is written.
_MOST_BYTES = 32 << 20


class _Group:
    """Records that are written together, and their shared future."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.size = 0  # bytes of values
        self.written: Future[None] = Future()
        self.written.set_running_or_notify_cancel()  # so that no waiter can cancel it


class GroupCommit:
    """Calls `write` with the records that arrived during the previous call.

    A group has at most `most` records, and about 32 MiB. With expensive writes, a group waits up to
    `linger` seconds for more records, but no longer than `quiet` seconds for the next one: all
    senders may be waiting for this very group. `write` returns once its records are durable, or
    raises an error, which fails the future of the group.
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
        """Return a future that is done once `record` is durable; a group shares one future."""
        with self._changed:
            if self._closed:
                refused: Future[None] = Future()
                refused.set_exception(JournalUnavailable("the journal is closed"))
                return refused
            if not self._groups or self._is_full(self._groups[-1]):
                self._groups.append(_Group())
            group = self._groups[-1]
            group.records.append(record)
            group.size += len(record.value)
            # The writer waits for a first record or a full group; waking it for others is wasted.
            if len(group.records) == 1 or self._is_full(group):
                self._changed.notify()
        return group.written

    def close(self) -> None:
        """Write the waiting records; return once they are durable."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        # Garbage collection may call this on any thread, even on the writer itself.
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _is_full(self, group: _Group) -> bool:
        return len(group.records) >= self._most or group.size >= _MOST_BYTES

    def _run(self) -> None:
        while self._write_next():
            pass  # and forget the group: its callbacks hold the journal, which would never close

    def _write_next(self) -> bool:
        group = self._next_group()
        if group is None:
            return False
        error = self._failure(group.records)
        if error is None:
            group.written.set_result(None)
        else:
            group.written.set_exception(error)
        return True

    def _next_group(self) -> _Group | None:
        """Return the next group, or None if the commit is closed and every group is written."""
        with self._changed:
            while not self._groups and not self._closed:
                self._changed.wait()
            self._wait_for_more()
            return self._groups.popleft() if self._groups else None

    def _wait_for_more(self) -> None:
        """Return once the first group is full, `linger` is over, or a `quiet` pause has passed."""
        until = time.monotonic() + self._linger
        while not self._closed and not self._is_full(self._groups[0]):
            size, left = len(self._groups[0].records), until - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, self._quiet))
            if len(self._groups[0].records) == size:
                return  # a quiet pause

    def _failure(self, records: list[Record]) -> BaseException | None:
        try:
            self._write(records)
        except BaseException as error:  # the waiters for these records get it
            return error
        return None
