"""Measures what a command line costs before its first request.

    python -m benchmarks.jobs.start_up

Each command is a process of its own, with warm caches. A job of one row, whose server responds at
once, is compared with an empty Beam pipeline. Other work on the machine slows all commands, because
their order changes from run to run. It changes CPU seconds less than wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import ROOT, servers

EMPTY = """
import apache_beam as beam
p = beam.Pipeline(runner="FnApiRunner")
p | beam.Create([1])
p.run().wait_until_finish()
"""
EMPTY_PIPELINE, ONE_ROW = "an empty Beam pipeline", "a job of one row"


def commands(folder: Path, base_url: str) -> dict[str, list[str]]:
    """Return the arguments of Python by what they do."""
    batch = ["-m", "pipelines.batch_complete", "--output", str(folder / "out")]
    given = [*batch, "--input", str(folder / "in.jsonl"), "--model", "openai/gpt-4o-mini"]
    return {
        "python -c pass": ["-c", "pass"],
        "batch_complete --help": [*batch, "--help"],
        "stream_complete --help": ["-m", "pipelines.stream_complete", "--help"],
        "a wrong flag": [*given, "--modle=m"],
        "a missing file": [*given, "--input", "nothing.jsonl"],
        "an unknown model": [*given, "--model", "opnai/m"],
        "no key": [*given, "--api_key_env", "NO_SUCH_KEY"],
        EMPTY_PIPELINE: ["-c", EMPTY],
        ONE_ROW: [*given, "--base_url", base_url],
    }


class Cost(NamedTuple):
    """Seconds of a command."""

    wall: float
    cpu: float


def measure(runs: int) -> dict[str, Cost]:
    """Return the median costs of each command."""
    with tempfile.TemporaryDirectory() as name, servers.serving("firehose", chunks=1) as server:
        folder = Path(name)
        (folder / "in.jsonl").write_text(json.dumps({"prompt": "Say something."}) + "\n")
        asked = commands(folder, server.base_url)
        found: dict[str, list[Cost]] = {what: [] for what in asked}
        for run in range(runs + 1):  # the first run fills caches
            for what in sorted(asked, reverse=bool(run % 2)):
                shutil.rmtree(folder / "out", ignore_errors=True)
                cost = _cost(asked[what])
                if run:
                    found[what].append(cost)
    return {what: _median(costs) for what, costs in found.items()}


def _median(costs: list[Cost]) -> Cost:
    wall, cpu = zip(*costs, strict=True)
    return Cost(statistics.median(wall), statistics.median(cpu))


def _cost(arguments: list[str]) -> Cost:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, cwd=ROOT, env=kept)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    found = measure(parser.parse_args().runs)
    print("| command | wall seconds | CPU seconds |\n|---|---|---|")
    for what, cost in found.items():
        print(f"| {what} | {cost.wall:.2f} | {cost.cpu:.2f} |")
    more = found[ONE_ROW].wall - found[EMPTY_PIPELINE].wall
    print(f"\none row costs {more:.2f} s more than no job")
