"""The output folder of a batch job: what earlier jobs left there, and what of it may go.

The rule: a job removes what earlier jobs wrote, and nothing else, once its own output is complete.
The manifests list the shards of each run (`pipelines.outputs.shards`). Older versions listed their
files in `report.json`, and still older ones nowhere: then files with the names of their outputs are
taken for outputs.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from pipelines.errors import UsageError
from pipelines.filesystem import is_local
from pipelines.outputs.shards import manifest
from pipelines.outputs.shards.names import (
    KINDS,
    MANIFEST,
    PAGE,
    REPORT,
    SUCCESS,
    UNFINISHED,
    kind_and_run,
    run_of_piece,
)
from pipelines.outputs.shards.storage import Storage, join, storage_of, write_whole

# The names that older versions gave to outputs, and to those that were not complete.
_OLD = re.compile(rf"({'|'.join(KINDS)})-\d{{5}}-of-\d{{5}}\.(jsonl|parquet|csv)")
_OLD_UNFINISHED = re.compile(
    rf"beam-temp-({'|'.join(KINDS)})-[0-9a-f]+|({_OLD.pattern}|report\.(json|html))\.unfinished"
)


def is_output(name: str) -> bool:
    """Return whether a job gives this name to its outputs."""
    return kind_and_run(name) is not None or _OLD.fullmatch(name) is not None


def last_report(folder: str) -> dict[str, Any] | None:
    """Return the report of the last job that ended in `folder`, or None.

    Raises UsageError for a `report.json` that no job wrote.
    """
    if (text := storage_of(folder).read_existing(REPORT)) is None:
        return None
    try:
        report = orjson.loads(text)
        report["rows"], report["model"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{join(folder, REPORT)} is not the report of a job, and this job would replace it;"
            " choose another --output"
        ) from None
    return dict(report)


def write_report(folder: str, report: Mapping[str, Any]) -> None:
    """Write `report.json`."""
    text = orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n"
    write_whole(storage_of(folder), REPORT, text, "application/json")


def earlier_outputs(folder: str, run: str, kept: Collection[str]) -> Earlier:
    """Return what the runs before `run` wrote; their `report.json` must still be there.

    A graph that is started again has the same run: its shards that are not `kept` are earlier ones.
    """
    storage = storage_of(folder)
    earlier = [each for each in manifest.runs(folder) if each.id <= run]
    listed = [shard.name for each in earlier for shard in each.shards if shard.name not in kept]
    files = [*_of_older_versions(folder, storage), *listed]
    return Earlier(folder, tuple(files), tuple(each.id for each in earlier if each.id != run))


class Earlier(NamedTuple):
    """The outputs of earlier runs in a folder."""

    folder: str
    files: Sequence[str]
    runs: Sequence[str]

    def remove(self) -> None:
        """Remove them."""
        storage = storage_of(self.folder)
        storage.remove(self.files)
        for run in self.runs:
            manifest.remove(storage, run)


def _of_older_versions(folder: str, storage: Storage) -> list[str]:
    """Return the names of the outputs that a job of an older version wrote."""
    try:
        report = last_report(folder)
    except UsageError:
        return []
    if report is None or "run" in report:
        return []
    old = [name for name in storage.names() if _OLD.fullmatch(name)]
    listed = report.get("files")
    return [name for name in old if listed is None or name in listed]


def unlisted(folder: str, report: Mapping[str, Any]) -> list[str]:
    """Return the names of outputs in `folder` that the job of `report` did not write."""
    names = storage_of(folder).names()
    return sorted(name for name in names.keys() - set(report["files"]) if is_output(name))


def remove_unfinished(folder: str) -> None:
    """Delete what stopped jobs left unfinished; the caller is the only job in `folder`."""
    storage = storage_of(folder)
    unfinished = [name for name in storage.names(UNFINISHED) if _is_ours(name)]
    storage.remove(f"{UNFINISHED}/{name}" for name in unfinished)
    storage.remove_folder(UNFINISHED)
    if is_local(folder):
        for path in _unfinished_of_older_versions(folder):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.remove(path)


def _is_ours(unfinished: str) -> bool:
    piece = unfinished.removeprefix(f"{MANIFEST}-")
    is_piece = piece != unfinished and run_of_piece(piece) is not None
    return is_piece or unfinished in (PAGE, REPORT, SUCCESS) or kind_and_run(unfinished) is not None


def _unfinished_of_older_versions(folder: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            if _OLD_UNFINISHED.fullmatch(entry.name):
                yield entry.path
