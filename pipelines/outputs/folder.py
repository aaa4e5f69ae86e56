"""Removes the outputs of earlier runs from the output folder of a batch job."""

from __future__ import annotations

import glob
import math
import os
import shutil
from collections.abc import Mapping

from apache_beam.io.filesystems import FileSystems


def written_before(folder: str) -> dict[str, float]:
    """Return the outputs of earlier runs in `folder` with their modification times."""
    patterns = [
        FileSystems.join(folder, f"{name}-*.jsonl") for name in ("completions", "failed", "deltas")
    ]
    found = [file for match in FileSystems.match(patterns) for file in match.metadata_list]
    return {file.path: file.last_updated_in_seconds for file in found}


def is_written_since(path: str, started: float) -> bool:
    """Return whether the file `path` exists and is newer than `started`."""
    for file in FileSystems.match([path])[0].metadata_list:
        return (file.last_updated_in_seconds or started) >= started
    return False


def remove_older(folder: str, before: Mapping[str, float]) -> None:
    """Delete the outputs in `before` that this run has not overwritten."""
    for path, written in written_before(folder).items():
        if before.get(path) == written:  # equality, because clocks may be set back
            FileSystems.delete([path])


def remove_unfinished(folder: str, before: float = math.inf) -> None:
    """Delete partial files of stopped jobs in a local `folder`."""
    for path in glob.glob(os.path.join(glob.escape(folder), "beam-temp-*")):
        if os.path.getmtime(path) < before:
            shutil.rmtree(path, ignore_errors=True)
    for path in glob.glob(os.path.join(glob.escape(folder), "*.unfinished")):
        if os.path.getmtime(path) < before:
            os.remove(path)
