"""What is in an output folder: the runs of the newest job, their shards, and the job's state."""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipelines.errors import UsageError
from pipelines.filesystem import is_local, reason
from pipelines.inputs import stdin
from pipelines.outputs.claims import is_claimed
from pipelines.outputs.shards import manifest
from pipelines.outputs.shards.names import KINDS, MANIFEST, REPORT
from pipelines.outputs.shards.storage import join, storage_of
from pipelines.results.errors import Unreadable

# Facts that decide which requests a job sends. Runs with other ones belong to another job. The
# paths in `flags` are absolute, unlike those in `input`.
_DECISIVE = ("model", "address", "flags")
_WITHOUT_FLAGS = ("model", "input", "params")
# Seconds in which a job removes the files of older runs, and then their manifest.
_PAUSE = 0.5
# Flags that change only where a job finds and writes what it has.
_OF_OUTPUT = frozenset(("columns", "dedupe", "journal", "output_format"))


class State(enum.Enum):
    """What a job does; the value is how a person says it."""

    RUNNING = "the job is running"
    STOPPED = "the job stopped before its end; the same command continues it"
    UNFINISHED = "the job has not ended: it is running elsewhere, or was stopped"
    DONE = "the job is done"


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of rows, with what the manifest says of it; None where there is no manifest."""

    path: str
    kind: str
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the job, with its shards in the order of their names."""

    id: str
    complete: bool
    shards: tuple[Shard, ...]

    def of(self, *kinds: str) -> list[Shard]:
        """Return the shards of these kinds."""
        return [shard for shard in self.shards if shard.kind in kinds]


@dataclass(frozen=True, slots=True)
class Job:
    """The newest job of a folder: its runs, the newest first, and their common `facts`.

    `others` is the number of runs of other jobs whose files are still in the folder.
    """

    folder: str
    state: State
    facts: Mapping[str, Any]
    runs: tuple[Run, ...]
    others: int = 0


def look(folder: str) -> Job:
    """Return the newest job of `folder`; raises UsageError without one, and Unreadable.

    A job that ends removes the files of older runs. So what is missing must be missing twice.
    """
    try:
        return _look(folder)
    except Unreadable:
        time.sleep(_PAUSE)
        return _look(folder)


def _look(folder: str) -> Job:
    # The state comes first: what a job writes after that is found by the next look.
    claimed = is_claimed(folder)
    try:
        found = manifest.runs(folder)
    except NotADirectoryError:
        raise UsageError(
            f"{folder} is a file; name the folder that --output of batch_complete named"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {folder}: {reason(error)}") from None
    if not found:
        return _without_manifest(folder, claimed)
    newest = found[0]
    same = [run for run in found if _decisive(run.facts) == _decisive(newest.facts)]
    runs = tuple(_run(folder, run) for run in same)
    state = _state(folder, claimed, newest.complete)
    return Job(folder, state, newest.facts, runs, len(found) - len(same))


def _state(folder: str, claimed: bool, complete: bool) -> State:
    if claimed:
        return State.RUNNING
    if complete:
        return State.DONE
    return State.STOPPED if is_local(folder) else State.UNFINISHED


def _decisive(facts: Mapping[str, Any]) -> list[Any]:
    flags = facts.get("flags")
    if not isinstance(flags, dict):
        return [facts.get(name) for name in _WITHOUT_FLAGS]
    kept = {name: value for name, value in flags.items() if name not in _OF_OUTPUT}
    given = flags.get("input")
    kept["input"] = [*map(stdin.shown, map(str, given))] if isinstance(given, list) else given
    return [facts.get(name) if name != "flags" else kept for name in _DECISIVE]


def _run(folder: str, run: manifest.Run) -> Run:
    name = join(folder, f"{MANIFEST}/{run.id}.jsonl")
    if run.damage:
        raise Unreadable(
            f"{name} is damaged: {run.damage}; restore it, or run the job again to write all anew"
        )
    shards = tuple(
        Shard(join(folder, each.name), each.kind, each.rows, each.bytes, each.sha256)
        for each in run.shards
    )
    if run.complete and run.missing:
        raise Unreadable(
            f"{join(folder, run.missing[0])} is in the manifest and is missing; restore it, or run"
            " the job again to write it anew"
        )
    return Run(run.id, run.complete, shards)


def _without_manifest(folder: str, claimed: bool) -> Job:
    """Return the job of a report that lists its files, as earlier versions wrote it."""
    if claimed:  # a job that has not written its manifest yet
        return Job(folder, State.RUNNING, {}, ())
    report = _report(folder)
    files = report.get("files")
    if not isinstance(files, list) or "model" not in report:
        raise UsageError(
            f"{folder} has no job; name the folder that --output of batch_complete names"
        )
    shards = [Shard(join(folder, str(name)), _kind(str(name))) for name in files]
    run = Run("", True, tuple(shard for shard in shards if shard.kind))
    return Job(folder, State.DONE, report, (run,))


def _report(folder: str) -> dict[str, Any]:
    try:
        report = orjson.loads(storage_of(folder).read(REPORT))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _kind(name: str) -> str:
    """Return the kind of a file; "" for a name that no job writes, which may lead elsewhere."""
    if "/" in name or os.sep in name:
        return ""
    return next((kind for kind in KINDS if name.startswith(f"{kind}-")), "")
