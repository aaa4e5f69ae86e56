"""What all formats of input in files share: to find, check and open the files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError
from pipelines.filesystem import is_local, reason
from pipelines.inputs import compression, file_kinds, paths


def open_files(root: Any, patterns: Sequence[str]) -> Any:
    """Return the PCollection of the files that match, as Beam's `ReadableFile`s."""
    return (
        root
        | "Pattern" >> beam.Create([None])
        | "MatchFiles" >> beam.FlatMap(lambda _: match_files(patterns))
        | "OpenFiles" >> fileio.ReadMatches()
    )


def match_files(patterns: Sequence[str]) -> list[Any]:
    """Return the metadata of the files that match, each file once, sorted by path.

    The order decides which of two rows with equal ids comes first. The filesystem's own order may
    differ between runs.
    """
    found = {_identity(file.path): file for pattern in patterns for file in _match(pattern)}
    return sorted(found.values(), key=lambda file: str(file.path))


def check_files(patterns: Sequence[str]) -> None:
    """Raise UsageError unless each pattern matches a file, and the files can be read.

    It reads the beginning of all files on this machine, and of the first one elsewhere.
    """
    for pattern in patterns:
        try:
            found = _match(pattern)
        except Exception as error:
            raise UsageError(f"cannot read --input {pattern}: {reason(error)}") from None
        if not found:
            raise UsageError(f"--input {pattern} matches {_nothing(pattern)}")
        for file in found if is_local(pattern) else found[:1]:
            _check_file(file.path)


def _nothing(pattern: str) -> str:
    if is_local(pattern) and os.path.isdir(pattern):
        return f"a folder; add a pattern for its files, as in {pattern.rstrip('/')}/*.jsonl"
    return "no file"


def _check_file(path: str) -> None:
    try:
        if is_local(path) and not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(
                f"--input {path} must be a file, because the job reads it several times, got a pipe"
                " or a device; write its data to a file first"
            )
        if why := _fault(path):
            raise UsageError(f"--input {path}: {why}")
    except UsageError:
        raise
    except compression.DamagedFile as error:
        raise UsageError(f"cannot read --input: {error}") from None
    except Exception as error:
        raise UsageError(f"cannot read --input {path}: {reason(error)}") from None


def _fault(path: str) -> str | None:
    with compression.opened(path) as file:
        return file_kinds.fault(file.read(file_kinds.HEAD_BYTES))


def _match(pattern: str) -> list[Any]:
    if is_local(pattern):
        return [_metadata(path) for path in paths.find(pattern) if not os.path.isdir(path)]
    if paths.has_wildcard(pattern) and FileSystems.exists(pattern):
        return [FileSystems.filesystem(pattern).metadata(pattern)]
    found = FileSystems.match([pattern])[0].metadata_list
    folder = paths.common_folder([pattern])
    if paths.is_hidden(pattern.removeprefix(folder)):
        return list(found)
    return [file for file in found if not paths.is_hidden(file.path.removeprefix(folder))]


def _metadata(path: str) -> FileMetadata:
    found = os.stat(path) if os.path.exists(path) else os.lstat(path)
    return FileMetadata(path, found.st_size, found.st_mtime)


def _identity(path: str) -> str:
    return os.path.abspath(path) if is_local(path) else path
