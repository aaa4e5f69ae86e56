"""What each run of an output folder has written: its facts, its shards, and whether it is complete.

The problem: a reader needs the rows of a job that runs, was killed or has ended, each once. The
files alone do not tell: the folder may hold the shards of a killed run beside those of the run that
repeats it.

The idea: each run has a manifest, lines of JSON that are only ever appended:

    {"run": "20261130T174005123-3f9a1c", "facts": {"model": ..., "input": [...], ...}}
    {"shard": {"name": "completions-...", "kind": "completions", "rows": 5, "bytes": 99, ...}}
    {"end": {"shards": 1}}

A local manifest is one file, `_manifest/RUN.jsonl`, to which one process appends. Objects in a
bucket cannot grow, and many workers cannot share a file. There a manifest is in pieces,
`_manifest/RUN.HEX.jsonl`, which are merged here.

Invariants:
- A line counts when it ends with a newline, so a manifest is sound at every byte.
- A shard is listed before it gets its final name. So each file under a final name is listed, and a
  listed shard exists or its run was killed. `runs` leaves out those that do not exist.
- A run is complete when its last line is there. All its shards exist then.

`runs` is the interface for readers, among them `pipelines.results` and the pages. It does not
import Beam for a local folder.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from pipelines.filesystem import append_whole, is_local
from pipelines.outputs.shards.names import MANIFEST, kind_and_run, run_of_piece
from pipelines.outputs.shards.storage import (
    Local,
    Storage,
    flush_to_disk,
    storage_of,
    write_whole,
)

# A job may remove manifests while they are read. It does so once or twice, at its end.
_TRIES = 5
# Writers of a process append one after the other.
_APPENDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of outcomes. `sha256` is that of the file, in hex."""

    name: str
    kind: str  # one of `names.KINDS`
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the program.

    `facts` are those of `batch_job.facts_of`: `model`, `input` (the patterns as given), `params`,
    `output_format`, `output_table` if there is one, `journal` (without a password), `started_at`
    (seconds since 1970), `host` and `pid`. They are empty if the manifest has lost its beginning.
    `complete` says that all rows of the run are in `shards`. `missing` are the names of shards that
    are listed and do not exist: a complete run had them, and another program has removed them.
    `damage` says what is wrong with a manifest that was edited, "" if nothing is.
    """

    id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    shards: tuple[Shard, ...] = ()
    missing: tuple[str, ...] = field(default=(), compare=False)
    damage: str = field(default="", compare=False)

    def of(self, kind: str) -> tuple[Shard, ...]:
        """Return the shards of one kind, in the order of their names."""
        return tuple(shard for shard in self.shards if shard.kind == kind)

    def rows(self, kind: str) -> int:
        """Return the number of rows in the shards of one kind."""
        return sum(shard.rows for shard in self.of(kind))


def runs(folder: str) -> list[Run]:
    """Return the runs of `folder`, the newest first, with the shards that exist.

    The folder is local or in a bucket, and may be missing or empty. A job may be writing to it.
    Files of the folder are foreign input: names that lead elsewhere are left out.
    """
    storage = storage_of(folder)
    lines = _lines(storage)
    there = storage.names() if lines else {}  # after the manifests: a listed shard comes later
    return [_run(run, lines[run], there) for run in sorted(lines, reverse=True)]


def _lines(storage: Storage) -> dict[str, list[Any]]:
    """Return the lines of all manifests by run."""
    for left in reversed(range(_TRIES)):
        found: dict[str, list[Any]] = {}
        names = [name for name in sorted(storage.names(MANIFEST)) if run_of_piece(name)]
        try:
            for name in names:
                text = storage.read(f"{MANIFEST}/{name}")
                found.setdefault(str(run_of_piece(name)), []).extend(_parsed(text))
        except OSError:  # a run that ends has replaced its pieces
            if not left:
                raise
        else:
            return found
    raise AssertionError


def _parsed(text: bytes) -> Iterator[Any]:
    for line in text.split(b"\n")[:-1]:
        try:
            yield orjson.loads(line)
        except ValueError:
            yield None


def _run(id: str, lines: Iterable[Any], there: Mapping[str, int]) -> Run:
    facts: Mapping[str, Any] = {}
    shards: dict[str, Shard] = {}
    listed: int | None = None
    damage = ""
    for line in lines:
        shard = None
        if not isinstance(line, dict):
            damage = "a line is not JSON"
        elif "shard" in line and (shard := _shard(id, line["shard"])) is None:
            damage = "a line does not describe a shard of this run"
        elif isinstance(line.get("facts"), dict):
            facts = line["facts"]
        elif "end" in line:
            listed = _listed(line["end"])
        if shard is not None:
            shards[shard.name] = shard
    if not damage and listed is not None and listed != len(shards):
        damage = f"it lists {len(shards):,} shards, but ends with the number {listed:,}"
    found = tuple(shards[name] for name in sorted(shards) if name in there)
    missing = tuple(sorted(shards.keys() - there.keys()))
    return Run(id, facts, listed is not None, found, missing, damage)


def _listed(end: Any) -> int:
    """Return the number of shards in the last line; -1, which is never right, for other values."""
    count = end.get("shards") if isinstance(end, dict) else None
    return count if isinstance(count, int) else -1


def _shard(run: str, found: Any) -> Shard | None:
    try:
        shard = Shard(
            str(found["name"]),
            str(found["kind"]),
            int(found["rows"]),
            int(found["bytes"]),
            str(found["sha256"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return shard if kind_and_run(shard.name) == (shard.kind, run) else None


class Manifest:
    """Writes the manifest of one run. Usable from any thread of a process.

    `alone` says that only this process writes it; then a local manifest is one file.
    """

    def __init__(self, folder: str, run: str, *, alone: bool) -> None:
        self._storage = storage_of(folder)
        self._name = f"{MANIFEST}/{run}.jsonl"
        self._run = run
        self._in_pieces = not (alone and is_local(folder))

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Write the first line."""
        write_whole(self._storage, self._name, _line({"run": self._run, "facts": facts}))

    def add(self, shards: Iterable[Shard]) -> None:
        """List shards, which get their final names afterwards."""
        lines = b"".join(_line({"shard": asdict(shard)}) for shard in shards)
        if self._in_pieces:
            write_whole(
                self._storage, f"{MANIFEST}/{self._run}.{secrets.token_hex(8)}.jsonl", lines
            )
        else:
            self._append(lines)

    def end(self, facts: Mapping[str, Any], shards: Iterable[Shard]) -> None:
        """Write all of it again, as one file with its last line, and remove the pieces."""
        listed = list(shards)
        head, last = {"run": self._run, "facts": facts}, {"end": {"shards": len(listed)}}
        lines: list[Mapping[str, Any]] = [head, *({"shard": asdict(s)} for s in listed), last]
        write_whole(self._storage, self._name, b"".join(map(_line, lines)))
        pieces = [name for name in self._storage.names(MANIFEST) if run_of_piece(name) == self._run]
        old = (f"{MANIFEST}/{name}" for name in pieces)
        self._storage.remove(name for name in old if name != self._name)

    def _append(self, lines: bytes) -> None:
        assert isinstance(self._storage, Local)
        with _APPENDING:
            file = os.open(self._storage.path(self._name), os.O_WRONLY | os.O_APPEND)
            try:
                append_whole(file, lines)
                flush_to_disk(file)
            finally:
                os.close(file)


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def remove(storage: Storage, run: str) -> None:
    """Remove the manifest of a run."""
    names = [name for name in storage.names(MANIFEST) if run_of_piece(name) == run]
    storage.remove(f"{MANIFEST}/{name}" for name in names)
