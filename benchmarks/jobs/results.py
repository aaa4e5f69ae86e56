"""Measures how fast `pipelines.results` prints the rows of a job that was killed.

    python -m benchmarks.jobs.results --rows 200000

The same rows are once in shards alone, and once in a journal alone, of whose entries each is joined
with its row of the input. `results` runs as a process of its own that writes JSON lines to a file.
Its start is part of the time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks import ROOT
from pipelines.inputs.rows import parse
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.shards import names
from pipelines.outputs.shards.manifest import Manifest, Shard
from pipelines.results.job_flags import JobFlags
from transforms import CompletePrompts
from transforms.elements import Completion, Prompt
from transforms.journal.folder.journal import FolderJournal
from transforms.journal.key import JournalKey
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.worker.outcomes import to_completion
from transforms.worker.recorded.entries import to_value

_SHARD_ROWS, _IN_FLIGHT = 10_000, 2_000
_MODEL = "openai/m"


def completion(id: str, number: int, input: str | None) -> Completion:
    """Return the completion of a row, of about 600 characters."""
    text = f"Answer {number}: " + " ".join(f"word{number * k % 997}" for k in range(1, 70))
    body = {
        "id": f"chatcmpl-{number:024x}",
        "object": "chat.completion",
        "created": 1_760_000_000 + number,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 50, "completion_tokens": 130, "total_tokens": 180},
    }
    gaps = {"p50": 0.012, "p95": 0.034}
    timing = {"ttft": 0.31, "total": 1.98, "inter_chunk": gaps}
    outcome = {"attempts": 1, "ended_at": 1_760_000_000.5, "timing": timing, "cost_usd": 0.0001}
    return to_completion(id, body, outcome, input)


def write_input(path: Path, rows: int) -> None:
    """Write the input: rows with an id, a prompt and two more columns."""
    with open(path, "wb") as file:
        for n in range(rows):
            prompt = f"Summarise document {n}. " + "Lorem ipsum dolor sit amet. " * 5
            row = {"id": f"row-{n}", "prompt": prompt, "topic": f"t{n % 7}", "score": n / 7}
            file.write(orjson.dumps(row) + b"\n")


class KilledJob:
    """A job that was killed, with the input `inputs`; its files are in `folder`."""

    def __init__(self, folder: Path, inputs: Path, journal: str) -> None:
        flags = {"input": [str(inputs)], "model": _MODEL, "journal": journal}
        self._folder, self._facts = folder, {"model": _MODEL, "flags": flags}
        os.makedirs(folder)
        self._run = names.new_run("")
        self._manifest = Manifest(str(folder), self._run, alone=True)
        self._manifest.begin(self._facts)
        self._shards = 0

    def _rows(self) -> Iterator[tuple[JournalKey, Completion]]:
        flags = JobFlags(self._facts, str(self._folder))
        made = CompletePrompts(_MODEL)
        for n, line in enumerate(flags.lines()):
            prompt = parse(line)
            assert isinstance(prompt, Prompt)
            key = made.journal_key(prompt)
            assert key is not None
            yield key, completion(prompt.id, n, prompt.input)

    def in_shards(self) -> None:
        """Write all rows to shards."""
        batch: list[Completion] = []
        for _, row in self._rows():
            batch.append(row)
            if len(batch) == _SHARD_ROWS:
                self._shard(batch)
                batch = []
        if batch:
            self._shard(batch)

    def _shard(self, rows: list[Completion]) -> None:
        self._shards += 1
        format = JsonLines()
        name = names.shard_name("completions", self._run, f"{self._shards:05d}", format.suffix)
        path = self._folder / name
        with open(path, "wb") as file:
            writer = format.open(file)
            for row in rows:
                writer.write(format.encode(row))
            writer.close()
        data = path.read_bytes()
        checksum = hashlib.sha256(data).hexdigest()
        self._manifest.add([Shard(name, "completions", len(rows), len(data), checksum)])

    def in_journal(self) -> None:
        """Record all rows in the journal."""
        place = JobFlags(self._facts, str(self._folder)).journal
        journal: Any
        if place.startswith("sqlite:"):
            journal = SqliteJournal(place.removeprefix("sqlite:"), "a run", alone=True)
        else:
            journal = FolderJournal(place, linger=0.05)
        waiting = []
        for key, row in self._rows():
            waiting.append(journal.record(key, to_value(row)))
            if len(waiting) == _IN_FLIGHT:
                for each in waiting:
                    each.result()
                waiting.clear()
        journal.close()


def read(folder: Path, rows: int, *flags: str) -> tuple[float, float]:
    """Return the rows a second of `results`, and its peak memory in MB; checks the rows."""
    target = folder.parent / "rows"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    started = time.perf_counter()
    with open(target, "wb") as file:
        command = [sys.executable, "-m", "pipelines.results", str(folder), *flags]
        subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=True, cwd=ROOT)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with open(target, "rb") as file:
        found = {orjson.loads(line)["id"] for line in file}
    assert len(found) == rows, f"{len(found)} of {rows} rows"
    return rows / seconds, max(before, peak) / 1024


def main(rows: int, folder: Path) -> None:
    """Print a line for each place of the rows."""
    inputs = folder / "in.jsonl"
    if not inputs.exists():
        write_input(inputs, rows)
    kinds = {"shards": "none", "sqlite": "auto", "folder": str(folder / "folder-journal")}
    speeds: dict[str, float] = {}
    for name, journal in kinds.items():
        out = folder / name
        if not out.exists():
            job = KilledJob(out, inputs, journal)
            job.in_shards() if name == "shards" else job.in_journal()
    for name in kinds:
        speeds[name], peak = read(folder / name, rows)
        ratio = speeds[name] / speeds["shards"]
        print(f"{name:<8}{speeds[name]:>10,.0f} rows/s  {ratio:5.2f}x shards  {peak:5,.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="keep the files here, for another run")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        arguments.folder.mkdir(exist_ok=True)
        main(arguments.rows, arguments.folder)
    else:
        with tempfile.TemporaryDirectory() as made:
            main(arguments.rows, Path(made))
