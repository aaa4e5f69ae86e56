"""Checks that a folder, local or in a bucket, is writable, and explains filesystem errors."""

from __future__ import annotations

import errno
import os

from pipelines.errors import UsageError


def is_local(path: str) -> bool:
    """Return whether `path` is on this machine, and not in a bucket."""
    return "://" not in path


def printable(path: str) -> str:
    """Return `path` with escapes for bytes that are not UTF-8, which JSON cannot hold."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_whole(path: str) -> bytes:
    """Return the content of a small file; a compressed one is decompressed."""
    if is_local(path) and not path.endswith((".gz", ".bz2", ".deflate", ".zst")):
        with open(path, "rb") as file:
            return file.read()
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(path) as file:
        return bytes(file.read())


def check_creatable(flag: str, folder: str) -> None:
    """Raise UsageError, which names `flag`, for a local folder that cannot be made or written to.

    It creates nothing and does not import Beam. It may miss a reason, unlike `check_writable`.
    """
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        why = errno.ENOTDIR
    elif not os.access(place, os.W_OK | os.X_OK):
        why = errno.EACCES
    else:
        return
    error = OSError(why, os.strerror(why), place)
    raise UsageError(f"cannot write to {flag} {folder}: {reason(error)}")


def check_writable(flag: str, folder: str) -> None:
    """Create `folder`; raise UsageError, which names `flag`, if it is not writable."""
    from apache_beam.io.filesystems import FileSystems

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
        from apache_beam.io.filesystems import FileSystems

        FileSystems.delete([path])


def reason(error: Exception) -> str:
    """Return the cause of a Beam filesystem error, on one line."""
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        error = next(iter(details.values()))
    return " ".join(str(error).split())[:300] or type(error).__name__


def append_whole(file: int, data: bytes) -> None:
    """Append all of `data` to the open `file` or nothing: half a line would spoil the next one."""
    start = os.lseek(file, 0, os.SEEK_END)
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except BaseException:
        os.ftruncate(file, start)
        raise
