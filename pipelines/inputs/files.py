"""Finds the files of an input, and checks that they can be read."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from typing import Any

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError
from pipelines.filesystem import is_local, printable, reason
from pipelines.inputs import folders, paths

_log = logging.getLogger("pipelines")


def match_files(patterns: Sequence[str]) -> list[Any]:
    """Return the metadata of the files that match, each file once, sorted by path.

    Raises FileNotFoundError for a pattern that matches no file.

    The order decides which of two rows with equal ids comes first. The filesystem's own order may
    differ between runs.
    """
    found = {}
    for pattern in patterns:
        files = _match(pattern)
        if not files:
            raise FileNotFoundError(f"{pattern} matches {_nothing(pattern)}")
        found.update({_identity(file.path): file for file in files})
    return sorted(found.values(), key=lambda file: str(file.path))


def check_patterns(patterns: Sequence[str]) -> list[str]:
    """Return the files to look at before the job starts; raises UsageError.

    Each pattern must match a file. All files on this machine are looked at, and the first one of
    each pattern elsewhere.
    """
    found_paths = []
    for pattern in patterns:
        try:
            found = _match(pattern)
        except Exception as error:
            raise UsageError(f"cannot read --input {pattern}: {reason(error)}") from None
        if not found:
            raise UsageError(f"--input {pattern} matches {_nothing(pattern)}")
        _report_skipped(pattern)
        found_paths += [file.path for file in (found if is_local(pattern) else found[:1])]
    for path in found_paths:
        _check_kind(path)
    return found_paths


def _report_skipped(pattern: str) -> None:
    """Warn of what a pattern leaves out, although a user may expect it to be read."""
    if not is_local(pattern):
        return
    hidden, found_folders = paths.left_out(pattern)
    for kind, names in (("hidden file", hidden), ("folder", found_folders)):
        if names:
            count = f"1 {kind}" if len(names) == 1 else f"{len(names):,} {kind}s"
            shown = ", ".join(printable(name) for name in names[:3])
            more = ", ..." if len(names) > 3 else ""
            _log.warning(f"--input {pattern} does not read {count}: {shown}{more}")


def _nothing(pattern: str) -> str:
    if is_local(pattern) and os.path.isdir(pattern):
        return f"a folder; add a pattern for its files, as in {pattern.rstrip('/')}/*.jsonl"
    return "no file"


def _check_kind(path: str) -> None:
    """Raise UsageError unless `path` is a file that can be read several times."""
    try:
        if is_local(path) and not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(
                f"--input {path} must be a file, because the job reads it several times, got a pipe"
                f" or a device; read it with --input - < {path}, or write its data to a file first"
            )
    except OSError as error:
        raise UsageError(f"cannot read --input {path}: {reason(error)}") from None


def _match(pattern: str) -> list[Any]:
    if is_local(pattern) and os.path.isdir(pattern):
        return [_metadata(path) for path in folders.data_files(pattern)]
    if is_local(pattern):
        return [_metadata(path) for path in paths.find(pattern) if not os.path.isdir(path)]
    if paths.has_wildcard(pattern) and FileSystems.exists(pattern):
        return [FileSystems.filesystem(pattern).metadata(pattern)]
    found = FileSystems.match([pattern])[0].metadata_list
    if not found and not paths.has_wildcard(pattern):
        found = _in_bucket_folder(pattern)
    folder = paths.common_folder([pattern])
    if paths.is_hidden(pattern.removeprefix(folder)):
        return list(found)
    return [file for file in found if not paths.is_hidden(file.path.removeprefix(folder))]


def _in_bucket_folder(folder: str) -> list[Any]:
    """Return the data files below a folder: Parquet files, or else what `datasets` saved."""
    for suffix in (".parquet", ".arrow"):
        if found := FileSystems.match([f"{folder.rstrip('/')}/**{suffix}"])[0].metadata_list:
            return list(found)
    return []


def _metadata(path: str) -> FileMetadata:
    found = os.stat(path) if os.path.exists(path) else os.lstat(path)
    return FileMetadata(path, found.st_size, found.st_mtime)


def _identity(path: str) -> str:
    return os.path.abspath(path) if is_local(path) else path
