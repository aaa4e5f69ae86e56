"""Reads stdin for `--input -`: into a file, because a job reads its input several times."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipelines.errors import UsageError
from pipelines.spools import PREFIX, Spool
from transforms.disks import temporary_disk

STDIN = "-"
NAME = "stdin"


@contextmanager
def spooled(locations: Sequence[str], here: bool) -> Iterator[list[str]]:
    """Yield the locations with a file in place of `-`, which is deleted afterwards.

    `here` means that the workers of the job read the disk of this machine. Raises UsageError.
    """
    if STDIN not in locations:
        yield [*locations]
        return
    if not here:
        raise UsageError(
            "--input - needs a runner on this machine; write the data to a file that the workers"
            " can read"
        )
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("--input - reads stdin, which is a terminal; use it behind a pipe")
    spool = Spool()
    try:
        path = spool.file(NAME)
        with temporary_disk(), open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        yield [path if location == STDIN else location for location in locations]
    finally:
        spool.remove()


def is_spooled(path: str) -> bool:
    """Return whether `path` is the file in place of stdin."""
    folder, name = os.path.split(path)
    return name == NAME and os.path.basename(folder).startswith(PREFIX)


def shown(path: str) -> str:
    """Return what messages and ids call the file at `path`."""
    return NAME if is_spooled(path) else path


def argument(path: str) -> str:
    """Return what the user gave to `--input` for the file at `path`."""
    return STDIN if is_spooled(path) else path
