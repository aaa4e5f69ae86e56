"""Checks that a folder, local or in a bucket, is writable, and explains filesystem errors."""

from __future__ import annotations

import os

from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError


def is_local(path: str) -> bool:
    """Return whether `path` is on this machine, and not in a bucket."""
    return "://" not in path


def printable(path: str) -> str:
    """Return `path` with escapes for bytes that are not UTF-8, which JSON cannot hold."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_writable(flag: str, folder: str) -> None:
    """Create `folder`; raise UsageError, which names `flag`, if it is not writable."""
    probe = FileSystems.join(folder, f".ritellm-{os.getpid()}")
    try:
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        FileSystems.create(probe).close()
        delete(probe)
    except Exception as error:
        raise UsageError(f"cannot write to {flag} {folder}: {reason(error)}") from None


def delete(path: str) -> None:
    """Delete the file at `path`. Beam would take brackets in a local path for wildcards."""
    if is_local(path):
        os.remove(path)
    else:
        FileSystems.delete([path])


def reason(error: Exception) -> str:
    """Return the cause of a Beam filesystem error, on one line."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        error = next(iter(details.values()))
    return " ".join(str(error).split())[:300] or type(error).__name__
