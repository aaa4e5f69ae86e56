"""Keeps two jobs of one machine out of the same output folder. It does not import Beam."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import UsageError
from pipelines.filesystem import is_local

# A reader that looks whether the folder is claimed holds it for a moment.
_TRIES, _PAUSE = 4, 0.02


@contextmanager
def claimed(folder: str) -> Iterator[None]:
    """Keep other jobs of this machine out of `folder`; raises UsageError if one is in it.

    The claim ends with the process at the latest. A folder in a bucket cannot be claimed.
    """
    held = _lock(folder) if is_local(folder) else None
    try:
        yield
    finally:
        if held is not None:
            _unlock(held)


def _lock(folder: str) -> int | None:
    try:
        import fcntl
    except ImportError:
        return None
    file = os.open(folder, os.O_RDONLY)
    try:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(_PAUSE)
    except BlockingIOError:
        os.close(file)
        raise UsageError(
            f"another job is writing to --output {folder}; wait for its end, or choose another"
            " --output"
        ) from None
    except OSError:  # some network filesystems have no such locks
        os.close(file)
        return None
    return file


def _unlock(file: int) -> None:
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a forked process has the file, too
    os.close(file)


def is_claimed(folder: str) -> bool:
    """Return whether a job of this machine writes to `folder` now; False for a bucket."""
    try:
        with claimed(folder):
            return False
    except UsageError:
        return True
    except OSError:  # missing, or not readable
        return False
