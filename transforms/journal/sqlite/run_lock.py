"""One run at a time: a lock that all processes of a run hold together, and that dies with them."""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import Any

from transforms.journal.base import JournalInUse, JournalUnavailable

try:
    import fcntl
except ImportError:  # Windows: two runs at once stay safe there, and may pay for the same rows
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger("transforms.journal")


class RunLock:
    """Taken by the first process of `run`, shared with its other processes, refused to other runs.

    The kernel frees it when its holder ends, however it ends: no lock is ever stale. `is_first`
    says that nobody else has it; `share` lets the run's other processes in. `left` is the note that
    the last process of an earlier run has left; one that was killed leaves none.
    """

    def __init__(self, path: str, run: str) -> None:
        self._path = path
        self._run = run
        self.left: Any = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            self.is_first = self._take()
        except OSError as error:  # after a failure to sign, the descriptor is this process's end's
            raise JournalUnavailable(f"cannot lock {path}: {error.strerror}") from error

    def share(self) -> None:
        """Go on as one of the run's processes; raises JournalInUse if another run was faster."""
        if fcntl is None:
            return
        _flock(self._file, fcntl.LOCK_SH)  # waits for a first process that is still mending
        holder = self._holder()
        if holder.get("run") != self._run:
            raise JournalInUse(
                f"{self._path.removesuffix('.lock')} is in use by another run (process"
                f" {holder.get('pid')} on {holder.get('host')}): wait for it, or take another"
                " --journal"
            )

    def release(self, note: Any = None) -> None:
        """Let go; if nobody of the run is left, leave a note for the next one."""
        try:
            if note is not None and self._is_alone():
                self._write({"left": note})
        finally:
            os.close(self._file)

    def _take(self) -> bool:
        if not self._is_alone():
            return False
        self.left = self._holder().get("left")
        self._write({"run": self._run, "pid": os.getpid(), "host": socket.gethostname()})
        return True

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
        except ValueError:  # new, or written to a full disk
            return {}
        return holder if isinstance(holder, dict) else {}


def _flock(file: int, how: int) -> None:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:  # some network filesystems know no locks
        _log.warning("the journal cannot be locked (%s): run nothing else on it", error.strerror)
