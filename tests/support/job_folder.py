"""The output folder of a batch job, written row by row, at any moment of the job."""

from __future__ import annotations

import hashlib
import io

from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.shards import names
from pipelines.outputs.shards.manifest import Manifest, Shard
from transforms.elements import DeadLetter

FACTS = {"model": "openai/m", "input": ["in.jsonl"], "flags": {"journal": "none"}}


class JobRun:
    """One run of a job in `folder`; it is not complete until `end`."""

    def __init__(self, folder, facts=FACTS, after=""):
        folder.mkdir(exist_ok=True)
        self.folder, self.facts = folder, facts
        self.id = names.new_run(after)
        self.manifest = Manifest(str(folder), self.id, alone=True)
        self.manifest.begin(facts)
        self.shards = []

    def shard(self, *rows, format=None, kind=None):
        """Write a shard of rows of one kind, list it, and return its path."""
        format = format or JsonLines()
        kind = kind or ("failed-calls" if isinstance(rows[0], DeadLetter) else "completions")
        file = io.BytesIO()
        writer = format.open(file)
        for row in rows:
            writer.write(format.encode(row))
        writer.close()
        data = file.getvalue()
        number = f"{len(self.shards) + 1:05d}"
        path = self.folder / names.shard_name(kind, self.id, number, format.suffix)
        path.write_bytes(data)
        sum = hashlib.sha256(data).hexdigest()
        self.shards.append(Shard(path.name, kind, len(rows), len(data), sum))
        self.manifest.add(self.shards[-1:])
        return path

    def end(self):
        """Complete the run."""
        self.manifest.end(self.facts, self.shards)
        return self
