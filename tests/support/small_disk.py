"""A disk of one megabyte, for tests of full disks; skips a test where none can be mounted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str = "1m") -> Iterator[Path]:
    """Mount a disk of `size` at `folder`."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this root may not mount anything")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
