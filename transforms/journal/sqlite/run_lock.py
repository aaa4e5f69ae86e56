"""A lock that all processes of a run hold together, so that one run at a time uses a journal.

The first process takes the lock exclusively, repairs the journal, and then shares the lock. Later
processes of the run wait for that, and share it. The lock file holds the name of the run; a process
of another run reads it and is refused. The kernel releases a lock when its process ends.

    free --first process--> exclusive (repair) --share()--> shared --last release()--> free + note
"""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from transforms.journal.base import JournalInUse, JournalUnavailable

try:
    import fcntl
except ImportError:  # Windows: two runs at once are safe there, but may pay for the same rows
    fcntl = None  # type: ignore[assignment]

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_log = logging.getLogger("transforms.journal")


class RunLock:
    """The lock of `run`: exclusive for its first process until `share`, refused to other runs.

    `is_first` says that this process has taken it. `left` is the note of the last process of an
    earlier run; a killed process leaves none.
    """

    def __init__(self, path: str, run: str) -> None:
        self._path = path
        self._run = run
        self.left: Any = None
        try:
            # Through a link, the name of the run would replace the content of another file.
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o666)
            self.is_first = self._take()
        except OSError as error:  # the descriptor is closed when the process ends
            linked = os.path.islink(path)
            reason = "it is a symbolic link; remove it" if linked else error.strerror
            raise JournalUnavailable(f"cannot lock {path}: {reason}") from error

    def share(self) -> None:
        """Share the lock with other processes of the run; raises JournalInUse for another run."""
        if fcntl is None:
            return
        _flock(self._file, fcntl.LOCK_SH)  # waits while the first process repairs the journal
        holder = self._holder()
        if holder.get("run") != self._run:
            raise JournalInUse(
                f"{self._path.removesuffix('.lock')} is in use by another run (process"
                f" {holder.get('pid')} on {holder.get('host')}): wait for it, or choose another"
                " --journal"
            )

    def release(self, note: Any = None) -> None:
        """Release the lock; the last process of the run leaves `note` for the next run."""
        try:
            if note is not None and self._is_alone():
                self._write({"left": note})
        finally:
            os.close(self._file)

    def _take(self) -> bool:
        if not self._is_alone() and not self._ended_here():
            return False
        self.left = self._holder().get("left")
        self._write({"run": self._run, "pid": os.getpid(), "host": socket.gethostname()})
        return True

    def _ended_here(self) -> bool:
        """Return whether only an earlier run of this process had the lock.

        Its journal is closed when it is collected, which a cycle of references may delay.
        """
        holder = self._holder()
        here = holder.get("pid") == os.getpid() and holder.get("host") == socket.gethostname()
        if not here or holder.get("run") == self._run:
            return False
        gc.collect()
        return self._is_alone()

    def _is_alone(self) -> bool:
        if fcntl is None:
            return True
        try:
            _flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _write(self, content: Any) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(content).encode(), 0)

    def _holder(self) -> dict[str, Any]:
        try:
            holder = json.loads(os.pread(self._file, 4096, 0))
        except ValueError:  # the file is new, or the disk was full
            return {}
        return holder if isinstance(holder, dict) else {}


@contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Exclude other processes from the same block for the same `path`.

    `path` is a file that exists only during the block.
    """
    if fcntl is None:
        yield
        return
    file = _locked(path)
    try:
        yield
    finally:
        with suppress(OSError):
            os.remove(path)
        os.close(file)


def _locked(path: str) -> int:
    """Create and lock `path`; the process before may have removed it during the wait."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o600)
        _flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        os.close(file)


def _flock(file: int, how: int) -> None:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:  # some network filesystems have no locks
        _log.warning("the journal cannot be locked (%s); start no other run on it", error.strerror)
