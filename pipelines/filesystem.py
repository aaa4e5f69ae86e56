"""Files and folders, local or in a bucket: whether they can be written."""

from __future__ import annotations

import os

from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError


def check_writable(flag: str, folder: str) -> None:
    """Make `folder`; raise UsageError, which names `flag`, if nothing can be written there."""
    probe = FileSystems.join(folder, f".ritellm-{os.getpid()}")
    try:
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        FileSystems.create(probe).close()
        FileSystems.delete([probe])
    except Exception as error:
        raise UsageError(f"cannot write to {flag} {folder}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Return the heart of a Beam filesystem error, on one line."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        error = next(iter(details.values()))
    return " ".join(str(error).split())[:300] or type(error).__name__
