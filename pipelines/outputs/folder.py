"""The output folder of a batch job: what an earlier run left in it."""

from __future__ import annotations

import glob
import math
import os
import shutil
from collections.abc import Mapping

from apache_beam.io.filesystems import FileSystems


def written_before(folder: str) -> dict[str, float]:
    """Return the outputs that earlier runs have left in `folder`, and when they were written."""
    patterns = [
        FileSystems.join(folder, f"{name}-*.jsonl") for name in ("completions", "failed", "deltas")
    ]
    found = [file for match in FileSystems.match(patterns) for file in match.metadata_list]
    return {file.path: file.last_updated_in_seconds for file in found}


def is_written_since(path: str, started: float) -> bool:
    """Return whether the file `path` is there, and is not an earlier run's."""
    for file in FileSystems.match([path])[0].metadata_list:
        return (file.last_updated_in_seconds or started) >= started
    return False


def remove_older(folder: str, before: Mapping[str, float]) -> None:
    """Delete what this run has not written anew of the outputs `before` it: they are replaced."""
    for path, written in written_before(folder).items():
        if before.get(path) == written:  # no clock says which is which: it may have been set back
            FileSystems.delete([path])


def remove_unfinished(folder: str, before: float = math.inf) -> None:
    """Delete what jobs that were stopped have left half written in a local `folder`."""
    for path in glob.glob(os.path.join(glob.escape(folder), "beam-temp-*")):
        if os.path.getmtime(path) < before:
            shutil.rmtree(path, ignore_errors=True)
    for path in glob.glob(os.path.join(glob.escape(folder), "*.unfinished")):
        if os.path.getmtime(path) < before:
            os.remove(path)
