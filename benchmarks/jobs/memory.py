"""Measures the peak memory of jobs of several sizes; it should not grow with the rows.

    python -m benchmarks.jobs.memory [--rows 100000 1000000] [--flags='--keep_order ...']

The server responds to each row at once. Journal and report have their defaults. A million rows take
half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT, servers


def measure(rows: int, flags: Sequence[str] = (), max_in_flight: int = 64) -> dict[str, float]:
    """Return the peak resident megabytes of a job of `rows` rows, and its rows a second."""
    with tempfile.TemporaryDirectory() as name, servers.serving("firehose", chunks=1) as server:
        folder = Path(name)
        with (folder / "in.jsonl").open("w") as file:
            for number in range(rows):
                file.write(json.dumps({"prompt": f"Say something, {number}."}) + "\n")
        command = [
            *(sys.executable, "-m", "pipelines.batch_complete", *flags),
            *("--input", str(folder / "in.jsonl"), "--output", str(folder / "out")),
            *("--model", "openai/gpt-4o-mini", "--base_url", server.base_url),
            *("--max_in_flight", str(max_in_flight)),
        ]
        started = time.perf_counter()
        with (folder / "log").open("wb") as log:
            job = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
            _, status, used = os.wait4(job.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            raise RuntimeError((folder / "log").read_text()[-2000:])
        report = json.loads((folder / "out" / "report.json").read_text())
        if report["completed"] != rows:
            raise RuntimeError(f"{report['completed']} of {rows} rows completed")
    return {"rows": rows, "peak_mb": used.ru_maxrss / 1024, "rows_per_second": rows / seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--flags", default="", help="more flags for the job")
    options = parser.parse_args()
    for count in options.rows:
        found = measure(count, options.flags.split())
        print({name: round(value, 1) for name, value in found.items()}, flush=True)
