"""Checks that a folder, local or in a bucket, is writable, and explains filesystem errors."""

from __future__ import annotations

import errno
import os
from importlib.util import find_spec

from pipelines.errors import UsageError
from ritellm.extras import install


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


# What Beam's filesystems need, and how to install it.
_NEEDS = {
    "gs": ("google.cloud.storage", install("gcp")),
    "s3": ("boto3", "pip install 'apache-beam[aws]'"),
    "azfs": ("azure.storage.blob", "pip install 'apache-beam[azure]'"),
}
# What Beam says of a scheme without a filesystem.
_NO_FILESYSTEM = "Unable to get filesystem from specified path"
_KNOWN = ("file", "hdfs", *_NEEDS)


def check_scheme(flag: str, location: str) -> None:
    """Raise UsageError, which names `flag`, if the filesystem of `location` is not installed.

    It does not import Beam. It leaves unknown schemes to the filesystems of Beam.
    """
    if lack := _missing(location):
        raise UsageError(f"{flag} {location} {lack}")


def _missing(location: str) -> str:
    """Return what is not installed for `location`, and how to install it, or ""."""
    scheme, separator, _ = location.partition("://")
    module, command = _NEEDS.get(scheme, ("", ""))
    if not separator or not module or _is_installed(module):
        return ""
    return f"needs {module}: {command}"


def check_known_scheme(flag: str, location: str) -> None:
    """Do what `check_scheme` does, and raise UsageError for a scheme that is no filesystem."""
    check_scheme(flag, location)
    scheme, separator, _ = location.partition("://")
    if separator and scheme not in _KNOWN:
        wanted = "a path on this machine, or one with gs://, s3://, azfs:// or hdfs://"
        raise UsageError(f"{flag} must be {wanted}, got {location}")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


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
    text = " ".join(str(error).split())
    if text.startswith(_NO_FILESYSTEM):
        location = text.rpartition("Path specified: ")[2]
        return _missing(location) or f"there is no filesystem for {location}"
    return text[:300] or type(error).__name__


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
