"""Notices when others delete, replace or cut off the files of an open journal.

SQLite does not notice: it writes on into a file without a name, and everything in it is lost.
"""

from __future__ import annotations

import os
from contextlib import suppress


class Watch:
    """The main file and the write-ahead log of the journal at `path`, as they were when opened."""

    def __init__(self, path: str) -> None:
        self._shared = f"{path}-shm"
        self._shared_size = _size(self._shared)
        self._seen = {name: os.stat(name) for name in (path, f"{path}-wal")}

    def change(self) -> str | None:
        """Return what others did to the files since the last call; None if they did nothing."""
        for name, before in self._seen.items():
            try:
                now = os.stat(name)
            except FileNotFoundError:
                return "deleted"
            except OSError:  # a failing disk: reads and writes report it
                return None
            if not os.path.samestat(now, before):
                return "replaced"
            if now.st_size < before.st_size:
                return "cut off"
            self._seen[name] = now
        return None

    def is_ours(self, path: str) -> bool:
        """Return whether the file at `path` is still the one that was opened."""
        try:
            return os.path.samestat(os.stat(path), self._seen[path])
        except OSError:
            return False

    def restore_shared_memory(self) -> None:
        """Give the file of SQLite's shared memory its size again, if it was cut off.

        SQLite maps it, and the kernel ends a process that reads beyond the end of a mapped file.
        SQLite rebuilds the content by itself.
        """
        if not self._shared_size:  # a journal that is open in one process alone
            return
        size = _size(self._shared)
        if size < self._shared_size:
            with suppress(OSError):
                os.truncate(self._shared, self._shared_size)
        else:
            self._shared_size = size


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
