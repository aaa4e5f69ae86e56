"""Temporary folders that hold rows on the local disk while a job runs.

The problem: rows contain prompts. A job that is killed at once leaves its folder behind, for
everyone who may read the disk later, and nothing would ever delete it.

The idea: the process that made a folder holds a lock on a file in it. The kernel releases the lock
when the process ends, in whatever way. Each start of a program deletes the folders whose lock is
free.

    making-XXXX  --lock taken, renamed-->  ritellm-order-XXXX  --process ends--> deleted at a start

Only the owner may read the folders and the files in them.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a folder that is left behind stays
    fcntl = None  # type: ignore[assignment]

_MAKING, PREFIX = "ritellm-making-", "ritellm-order-"
_LOCK = "lock"


class Spool:
    """A temporary folder of this process, deleted by `remove` or at the next start."""

    def __init__(self) -> None:
        self._lock: int | None = None
        self.folder = Path(tempfile.mkdtemp(prefix=_MAKING))
        if fcntl is not None:
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # Only now: without its lock, the folder would look like one that was left behind.
            name = self.folder.name.replace(_MAKING, PREFIX)
            self.folder = self.folder.rename(self.folder.with_name(name))

    def file(self, name: str) -> str:
        """Return the path of a new file that only its owner may read."""
        path = self.folder / name
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return str(path)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_left_behind() -> list[str]:
    """Delete the folders of processes of this user that have ended; return their paths."""
    if fcntl is None:
        return []
    folders = Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    removed = [folder for folder in folders if _is_left_behind(folder)]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return [str(folder) for folder in removed]


def _is_left_behind(folder: Path) -> bool:
    """Return whether `folder` is this user's and no process holds its lock."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
