"""Compares a whole batch job with the same rows in datatrove's InferenceRunner, on one server.

    python -m venv .venv-datatrove
    .venv-datatrove/bin/pip install datatrove httpx orjson aiofiles aiosqlite
    python -m benchmarks.jobs.batch_peer --python .venv-datatrove/bin/python

Both read the same file of prompts, keep as many requests in flight, and write JSON lines to a
folder. Ours streams each response, keeps a journal and writes the report. datatrove asks for whole
responses and keeps nothing that a later run could use. Each job is a process of its own, in turns;
the figures are medians. The start-up is part of the time, and is also subtracted: it is the time of
the same job for one row, less the time of its response.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import ROOT, servers

Command = Callable[[Path, str], list[str]]


def ours(max_in_flight: int) -> Command:
    """Return the command of our job, for a folder and the address of the server."""
    return lambda folder, base_url: [
        *(sys.executable, "-m", "pipelines.batch_complete", "--input", str(folder / "in.jsonl")),
        *("--output", str(folder / "out"), "--model", "openai/gpt-4o-mini"),
        *("--base_url", base_url, "--max_in_flight", str(max_in_flight)),
    ]


def theirs(python: str, max_in_flight: int) -> Command:
    """Return the command of datatrove's job."""
    module = str(ROOT / "benchmarks" / "jobs" / "batch_peer_job.py")
    return lambda folder, base_url: [
        *(python, module, str(folder / "in.jsonl"), str(folder / "out")),
        *(base_url.removesuffix("/v1"), str(max_in_flight)),
    ]


def run(command: Command, folder: Path, rows: int, server: servers.Running) -> dict[str, float]:
    """Run a job of `rows` rows; return its wall and CPU seconds and its peak memory."""
    folder.mkdir()
    lines = [json.dumps({"id": str(n), "prompt": f"Say something, {n}."}) for n in range(rows)]
    (folder / "in.jsonl").write_text("".join(f"{line}\n" for line in lines))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        command(folder, server.base_url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    _, said = process.communicate()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    written = sum(_lines(path) for path in (folder / "out").rglob("[!_.]*.jsonl"))
    if process.returncode or written < rows:
        raise RuntimeError(f"{written} of {rows} rows: {said.decode()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu}


def _lines(path: Path) -> int:
    return 0 if path.parent.name == "_manifest" else path.read_bytes().count(b"\n")


def measure(
    python: str, rows: int, chunks: int, gap_ms: float, first_ms: float, in_flight: int, runs: int
) -> dict[str, dict[str, float]]:
    """Return the median figures of each job."""
    commands = {"ours": ours(in_flight), "datatrove": theirs(python, in_flight)}
    options = {"chunks": chunks, "gap_ms": gap_ms, "first_ms": first_ms}
    response = (first_ms + chunks * gap_ms) / 1000
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as place, servers.serving("paced", **options) as server:
        for number in range(runs):
            for name, command in commands.items():
                folder = Path(place) / f"{name}-{number}"
                one = run(command, folder.with_suffix(".one"), 1, server)
                full = run(command, folder, rows, server)
                start = one["wall"] - response
                found[name].append(
                    {
                        "wall": full["wall"],
                        "after_start_up": full["wall"] - start,
                        "rows_per_second": rows / (full["wall"] - start),
                        "cpu_msec_a_row": (full["cpu"] - one["cpu"]) / rows * 1000,
                    }
                )
    return {
        name: {key: statistics.median(each[key] for each in all_runs) for key in all_runs[0]}
        for name, all_runs in found.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="interpreter with datatrove and orjson")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--chunks", type=int, default=20, help="in each response")
    parser.add_argument("--gap_ms", type=float, default=2, help="between two chunks")
    parser.add_argument("--first_ms", type=float, default=300, help="before the response")
    parser.add_argument("--in_flight", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    figures = measure(**vars(parser.parse_args()))
    for job, each in figures.items():
        print(job, {name: round(value, 2) for name, value in each.items()})
    ratios = {key: figures["ours"][key] / figures["datatrove"][key] for key in figures["ours"]}
    print("ratio", {name: round(value, 2) for name, value in ratios.items()}, os.cpu_count())
