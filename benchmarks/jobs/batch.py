"""Compares a whole batch job with the minimum time that its model server needs.

    python -m benchmarks.jobs.batch --rows 2000 --chunks 50 --gap_ms 20 --max_in_flight 500
    python -m benchmarks.jobs.batch --first_ms 300 --chunks 20 --gap_ms 2 --max_in_flight 256

The ideal is rows / max_in_flight rounds of one response each. On average the first text of a stream
comes half a gap late. The start-up (imports, building and starting the job) is the time of the same
command for an empty file, the median of three. It is measured in the same run and subtracted.
`span_seconds` is from the first request's start to the last response's end. `reader_ratio` shows
the limit of the machine: the time in which a process that only reads (`baseline.py`) reads one
round of responses, divided by the time of one response.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import ROOT, servers
from benchmarks.client import reader_process


def measure(
    rows: int, chunks: int, gap_ms: float, max_in_flight: int, first_ms: float = 0.0
) -> dict[str, Any]:
    """Return wall and ideal seconds, CPU per row, and peak memory of the job."""
    options = {"chunks": chunks, "gap_ms": gap_ms, "first_ms": first_ms}
    with tempfile.TemporaryDirectory() as folder, servers.serving("paced", **options) as server:
        empties = [run(Path(folder) / f"empty-{n}", 0, server, max_in_flight) for n in range(3)]
        empty = {name: statistics.median(each[name] for each in empties) for name in empties[0]}
        full = run(Path(folder) / "full", rows, server, max_in_flight)
        served = server.stats()
        read = reader_process.read(
            "benchmarks.client.chunks", "floor", base_url=server.base_url, streams=max_in_flight
        )
    response = (first_ms + (chunks + 0.5) * gap_ms) / 1000
    ideal = math.ceil(rows / max_in_flight) * response
    wall = full["wall"] - empty["wall"]
    return {
        "rows": rows,
        "max_in_flight": max_in_flight,
        "ideal_seconds": ideal,
        "start_up_seconds": empty["wall"],
        "wall_seconds": wall,
        "span_seconds": full["span"],
        "rows_per_second": rows / wall,
        "ratio": wall / ideal,
        "reader_ratio": read.wall_seconds / response,
        "cpu_msec_per_row": (full["cpu"] - empty["cpu"]) / rows * 1000,
        "peak_mb": full["peak_mb"],
        "most_streams_open": served["max_open"],
        "server_cpu_seconds": served["cpu_seconds"],
    }


def run(
    folder: Path, rows: int, server: servers.Running, max_in_flight: int, may_fail: bool = False
) -> dict[str, float]:
    """Run a job and return its cost; with `may_fail`, rows may fail."""
    folder.mkdir()
    lines = "".join(json.dumps({"prompt": f"Say something, {i}."}) + "\n" for i in range(rows))
    (folder / "in.jsonl").write_text(lines)
    command = [
        *(sys.executable, "-m", "pipelines.batch_complete", "--input", str(folder / "in.jsonl")),
        *("--output", str(folder / "out"), "--model", "openai/gpt-4o-mini"),
        *("--base_url", server.base_url, "--max_in_flight", str(max_in_flight)),
    ]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=not may_fail, capture_output=True, cwd=ROOT)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads((folder / "out" / "report.json").read_text())
    if report["completed"] != rows and not may_fail:
        raise RuntimeError(f"{report['completed']} of {rows} rows completed: {report['errors']}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    span = report["seconds"] or 0.0
    failed = float(report["failed"])
    return {
        "failed": failed,
        "wall": wall,
        "cpu": cpu,
        "span": span,
        "peak_mb": after.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--chunks", type=int, default=50, help="in each response")
    parser.add_argument("--gap_ms", type=float, default=20, help="between two chunks")
    parser.add_argument("--first_ms", type=float, default=0, help="before the response")
    parser.add_argument("--max_in_flight", type=int, default=500)
    figures = measure(**vars(parser.parse_args()))
    print({name: round(value, 2) for name, value in figures.items()}, f"cores={os.cpu_count()}")
