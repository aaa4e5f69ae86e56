"""The output folder of a batch job: which of its files a job wrote, and who may write there now.

The rule: a job removes what an earlier job wrote, and nothing else. `report.json` has the list of
the files that its job wrote. Without the list, in a report of an older version, files with the
names of outputs are taken for outputs.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import orjson
from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError
from pipelines.filesystem import delete, is_local
from pipelines.outputs.whole_file import write_whole

REPORT = "report.json"
PAGE = "report.html"
KINDS = ("completions", "failed", "deltas")
_OUTPUT = r"(completions|failed-rows|failed-calls|deltas)"
_NAME = re.compile(rf"{_OUTPUT}-\d{{5}}-of-\d{{5}}\.(jsonl|parquet|csv)")
_UNFINISHED = re.compile(
    rf"beam-temp-{_OUTPUT}-[0-9a-f]+|({_NAME.pattern}|report\.(json|html))\.unfinished"
)


def is_output(name: str) -> bool:
    """Return whether a job gives this name to its outputs."""
    return _NAME.fullmatch(name) is not None


def last_report(folder: str) -> dict[str, Any] | None:
    """Return the report of the last job that ended in `folder`, or None.

    Raises UsageError for a `report.json` that no job wrote.
    """
    path = FileSystems.join(folder, REPORT)
    if not FileSystems.exists(path):
        return None
    try:
        with FileSystems.open(path) as file:
            report = orjson.loads(file.read())
        report["rows"], report["model"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is not the report of a job, and this job would replace it; choose another"
            " --output"
        ) from None
    return dict(report)


class Outputs:
    """What is in `folder` before a job."""

    def __init__(self, folder: str, report: Mapping[str, Any] | None) -> None:
        self._folder = folder
        self._before = _written(folder)
        listed = None if report is None else report.get("files")
        self._earlier = set(self._before if listed is None else listed)

    def settle(self, report: dict[str, Any]) -> Collection[str]:
        """Remove what earlier jobs wrote and this one did not replace; list the rest in `report`.

        Returns the names of outputs that no job is known to have written, which stay.
        """
        now = _written(self._folder)
        # Equality, because clocks may be set back.
        kept = {name for name, changed in now.items() if self._before.get(name) == changed}
        for name in kept & self._earlier:
            delete(FileSystems.join(self._folder, name))
        report["files"] = sorted(now.keys() - kept)
        text = orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n"
        write_whole(FileSystems.join(self._folder, REPORT), [text], "application/json")
        return sorted(kept - self._earlier)


def _written(folder: str) -> dict[str, float]:
    """Return the names of outputs in `folder` with their modification times."""
    if is_local(folder):
        files = [entry for entry in os.scandir(folder) if is_output(entry.name)]
        return {entry.name: entry.stat().st_mtime_ns for entry in files}
    patterns = [FileSystems.join(folder, f"{kind}-*") for kind in KINDS]
    found = [file for match in FileSystems.match(patterns) for file in match.metadata_list]
    times = {file.path.rpartition("/")[2]: file.last_updated_in_seconds for file in found}
    return {name: changed for name, changed in times.items() if is_output(name)}


def is_written_since(path: str, started: float) -> bool:
    """Return whether the file `path` exists and is newer than `started`."""
    if is_local(path):
        return os.path.exists(path) and os.path.getmtime(path) >= started
    for file in FileSystems.match([path])[0].metadata_list:
        return (file.last_updated_in_seconds or started) >= started
    return False


def remove_unfinished(folder: str) -> None:
    """Delete what stopped jobs left in a local `folder`, which the caller has claimed."""
    if not is_local(folder):
        return
    for entry in list(os.scandir(folder)):
        if _UNFINISHED.fullmatch(entry.name):
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.remove(entry.path)
