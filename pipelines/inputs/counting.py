"""How many rows an input has, where that is cheap to know."""

from __future__ import annotations

import os

from apache_beam.io.filesystems import FileSystems

from pipelines import bigquery


def count_rows(pattern: str, most_bytes: int = 4 << 30) -> int | None:
    """Return the number of lines in local, uncompressed files; None if that costs too much."""
    if pattern.startswith(bigquery.PREFIX):
        return None
    found = FileSystems.match([pattern])[0].metadata_list
    paths = [file.path for file in found]
    if sum(file.size_in_bytes for file in found) > most_bytes or not all(map(_is_plain, paths)):
        return None
    return sum(_count_lines(path) for path in paths)


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) and not path.endswith((".gz", ".bz2", ".zst", ".zip", ".xz"))


def _count_lines(path: str) -> int:
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")
