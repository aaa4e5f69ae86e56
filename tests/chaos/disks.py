"""Disks that can be filled: a file system of its own for a folder, where one may be mounted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOMY = 4 << 30


class Disk:
    """A disk in memory, mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def nearly_full(self, left: int) -> Iterator[None]:
        """Leave so many bytes for as long as the block lasts."""
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._resize(used + left)
        try:
            yield
        finally:
            self._resize(_ROOMY)

    def _resize(self, size: int) -> None:
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def mounted(folder: Path) -> Iterator[Disk | None]:
    """Mount a disk at `folder`; None where this user may not."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_ROOMY}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
