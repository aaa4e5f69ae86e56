"""The program on lines of input, as its user runs it: flags in; files, words and a status out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from pipelines.batch_complete import main

ROOT = Path(__file__).parents[2]


class Job:
    def __init__(self, server, folder, capsys):
        self.server, self.folder, self.capsys = server, folder, capsys
        self.out = folder / "out"

    def write(self, *lines, name="in.jsonl"):
        text = "\n".join(x if isinstance(x, str) else orjson.dumps(x).decode() for x in lines)
        (self.folder / name).write_text(text + "\n", encoding="utf-8")
        return self

    def run(self, *flags, input="in.jsonl"):
        return self.call(self.argv(input, *flags))

    def process(self, *flags):
        """Run in a process of its own, to its end."""
        command = [sys.executable, "-m", "pipelines.batch_complete", *self.argv("in.jsonl", *flags)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    def argv(self, input, *flags):
        argv = ["--input", str(self.folder / input), "--output", str(self.out)]
        return [*argv, "--model", "openai/m", "--base_url", self.server.base_url, *flags]

    def call(self, argv):
        with pytest.raises(SystemExit) as exited:
            main(argv)
        self.printed = self.capsys.readouterr()
        return exited.value.code

    def rows(self, name):
        files = sorted(self.out.glob(f"{name}-*.jsonl"))
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        return {row["id"]: row for row in map(orjson.loads, lines)}

    @property
    def report(self):
        return orjson.loads((self.out / "report.json").read_bytes())
