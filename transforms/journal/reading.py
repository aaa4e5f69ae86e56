"""Reads a journal that another process may be writing, and changes nothing.

The problem: a person wants to see the completions of a job that runs, or was killed. Opening its
journal would lock the job out, repair the files, or create some.

The idea: a reader opens the files as bytes. Each entry has a checksum, so what a writer has half
written is skipped, and found by the next call of `new`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

from transforms.journal.base import JournalUnavailable
from transforms.journal.key import JournalKey


class Entry(NamedTuple):
    """One entry; `base.unpack` returns the value in `stored`."""

    key: JournalKey
    stored: bytes


class JournalReader(Protocol):
    """Finds the entries of a journal."""

    def new(self) -> Iterator[Entry]:
        """Yield the entries that have come since the last call, and maybe others once more.

        The first call yields all. A journal that does not exist yet has none. Raises
        JournalUnavailable, or JournalError for a file that is not a journal.
        """


def open_regular(path: str) -> BinaryIO:
    """Open a local file for reading; raises JournalUnavailable for a pipe or a device."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise JournalUnavailable(f"the journal {path} must be a file, got something else; move it")
    return os.fdopen(file, "rb")
