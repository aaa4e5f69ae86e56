"""Measures what a command line costs before its first request.

    python -m benchmarks.jobs.start_up

Each command is a process of its own, with warm caches. A job of one row, whose server responds at
once, is compared with an empty Beam pipeline. The order of the commands changes from run to run, so
that other work on the machine slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def measure(runs: int) -> dict[str, float]:
    """Return the median seconds of each command."""
    with tempfile.TemporaryDirectory() as name, servers.serving("firehose", chunks=1) as server:
        folder = Path(name)
        (folder / "in.jsonl").write_text(json.dumps({"prompt": "Say something."}) + "\n")
        asked = commands(folder, server.base_url)
        seconds: dict[str, list[float]] = {what: [] for what in asked}
        for run in range(runs + 1):  # the first run fills caches
            for what in sorted(asked, reverse=bool(run % 2)):
                shutil.rmtree(folder / "out", ignore_errors=True)
                taken = _seconds(asked[what])
                if run:
                    seconds[what].append(taken)
        return {what: statistics.median(taken) for what, taken in seconds.items()}


def _seconds(arguments: list[str]) -> float:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, cwd=ROOT, env=kept)
    return time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    found = measure(parser.parse_args().runs)
    print("| command | seconds |\n|---|---|")
    for what, seconds in found.items():
        print(f"| {what} | {seconds:.2f} |")
    print(f"\none row costs {found[ONE_ROW] - found[EMPTY_PIPELINE]:.2f} s more than no job")
