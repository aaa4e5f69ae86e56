"""Checks that a folder, local or in a bucket, is writable, and explains filesystem errors."""

from __future__ import annotations

import os

from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError


def check_writable(flag: str, folder: str) -> None:
    """Create `folder`; raise UsageError, which names `flag`, if it is not writable."""
    probe = FileSystems.join(folder, f".ritellm-{os.getpid()}")
    try:
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        FileSystems.create(probe).close()
        FileSystems.delete([probe])
    except Exception as error:
        raise UsageError(f"cannot write to {flag} {folder}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Return the cause of a Beam filesystem error, on one line."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        error = next(iter(details.values()))
    return " ".join(str(error).split())[:300] or type(error).__name__
