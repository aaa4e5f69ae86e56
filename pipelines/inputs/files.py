"""What all formats of input in files share: to match a pattern, and to check and open the files."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError
from pipelines.filesystem import reason


def open_files(root: Any, pattern: str) -> Any:
    """Return the PCollection of the files that match `pattern`, as Beam's `ReadableFile`s."""
    return (
        root
        | "Pattern" >> beam.Create([pattern])
        | "MatchFiles" >> beam.FlatMap(match_files)
        | "OpenFiles" >> fileio.ReadMatches()
    )


def match_files(pattern: str) -> list[Any]:
    """Return the metadata of the files that match `pattern`, sorted by path.

    The order decides which of two rows with equal ids comes first. The filesystem's own order may
    differ between runs.
    """
    found = FileSystems.match([pattern])[0].metadata_list
    return sorted(found, key=lambda file: str(file.path))


def check_files(pattern: str) -> None:
    """Raise UsageError unless `pattern` matches a file that can be opened."""
    try:
        found = FileSystems.match([pattern], limits=[1])[0].metadata_list
        if found:
            FileSystems.open(found[0].path).close()
            return
    except Exception as error:
        raise UsageError(f"cannot read --input {pattern}: {reason(error)}") from None
    raise UsageError(f"--input {pattern} matches no file")


def common_folder(pattern: str) -> str:
    """Return the part of `pattern` that all files share, up to the last slash before a wildcard."""
    fixed = pattern[: min([pattern.find(c) for c in "*?[" if c in pattern], default=len(pattern))]
    return fixed[: fixed.rfind("/") + 1]
