"""Measures one process of a worker, and computes what 10,000 workers could do.

    python -m benchmarks.jobs.scale            # measures, simulates, writes docs/dataflow.md
    python -m benchmarks.jobs.scale --print    # only prints

Each measurement is a process of its own, with one transform on Beam's local runner, against the
paced server of servers.py. The cost of a row, of a chunk and of an open stream follows from runs
that differ in one of them. The base cost of a process cancels out. fleet.py simulates the fleet.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import astuple, dataclass

from benchmarks import ROOT, servers
from benchmarks.simulation import fleet

PAGE = ROOT / "docs" / "dataflow.md"
PLOT = ROOT / "docs" / "fleet.svg"
MARKS = re.compile(r"(<!-- scale -->\n).*?(<!-- /scale -->)", re.DOTALL)

# A cost is the difference of two runs, so it contains the noise of both.
ROUNDS = 3

# Inputs of the arithmetic. They are not measured here.
WORKERS = 10_000
VCPUS = 2
BUSY = 0.6  # the share of a vCPU for streams; the rest is for bursts, Beam and the kernel
TOKENS_PER_SECOND = 50  # of one stream; a chunk counts as a token
COMPLETION_TOKENS = 500
VCPU_HOUR, GB_HOUR, GB_PER_VCPU = 0.056, 0.003557, 4  # USD; use the prices of your region


@dataclass(frozen=True)
class Costs:
    """The costs of one process: CPU in microseconds, memory in KB or MB."""

    row_usec: float
    chunk_usec: float
    delta_usec: float
    stream_kb: float
    process_mb: float


@dataclass(frozen=True)
class Run:
    """The measurements of one process."""

    cpu: float
    peak_kb: float
    wall: float
    most_open: int


def measure(streams: int = 500, chunks: int = 100) -> Costs:
    """Return the costs of a row, a chunk, a delta and a stream, medians of `ROUNDS` rounds."""
    rounds = [_round(streams, chunks) for _ in range(ROUNDS)]
    return Costs(*(statistics.median(values) for values in zip(*map(astuple, rounds), strict=True)))


def _round(streams: int, chunks: int, gap_ms: float = 20) -> Costs:
    rows = 2 * streams
    few = _run(rows, streams, chunks // 4, gap_ms)
    many = _run(rows, streams, chunks, gap_ms)
    brief = [_run(each, streams, 1, gap_ms) for each in (streams, 8 * streams)]
    narrow = _run(rows, max(1, streams // 10), chunks // 4, gap_ms)
    chunk = (many.cpu - few.cpu) / (rows * (chunks - chunks // 4))
    live = [_run(rows, streams, each, gap_ms, live=True) for each in (chunks // 4, chunks)]
    delta = (live[1].cpu - live[0].cpu) / (rows * (chunks - chunks // 4))
    row = (brief[1].cpu - brief[0].cpu) / (7 * streams) - chunk
    stream = (few.peak_kb - narrow.peak_kb) / (few.most_open - narrow.most_open)
    return Costs(row * 1e6, chunk * 1e6, delta * 1e6, stream, narrow.peak_kb / 1024)


def _run(rows: int, streams: int, chunks: int, gap_ms: float, live: bool = False) -> Run:
    with servers.serving("paced", chunks=chunks, gap_ms=gap_ms) as server:
        child = [sys.executable, "-m", "benchmarks.jobs.scale", "--child", server.base_url]
        child += [str(rows), str(streams)]
        child += ["live"] * live
        done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=ROOT)
        most_open = server.stats()["max_open"]
    figures = json.loads(done.stdout.splitlines()[-1])
    return Run(figures["cpu"], figures["peak_kb"], figures["wall"], most_open)


def child(base_url: str, rows: int, streams: int, live: bool) -> None:
    """Complete `rows` with `streams` in flight, publish deltas if `live`, and print the cost."""
    import apache_beam as beam

    from benchmarks.jobs.streaming import Null
    from transforms import CompletePrompts, Prompt, PublishDeltas

    request = json.dumps({"messages": [{"role": "user", "content": "Say something."}]})
    started, cpu = time.perf_counter(), time.process_time()
    with beam.Pipeline(runner="FnApiRunner") as p:
        done = (
            p
            | beam.Create(range(rows), reshuffle=False)
            | beam.Map(lambda n: Prompt(str(n), request)).with_output_types(Prompt)
            | CompletePrompts(
                "openai/m", base_url=base_url, max_in_flight=streams, emit_deltas=live
            )
        )
        if live:
            done.deltas | PublishDeltas(Null)
    figures = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - started,
        "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    print(json.dumps(figures))


def arithmetic(costs: Costs) -> str:
    """Return the table for a worker and a fleet; each line shows its formula."""
    per_completion = COMPLETION_TOKENS / TOKENS_PER_SECOND
    load = costs.chunk_usec * TOKENS_PER_SECOND + costs.row_usec / per_completion  # usec a second
    live_load = costs.delta_usec * TOKENS_PER_SECOND + costs.row_usec / per_completion
    streams, live = int(BUSY * 1e6 / load), int(BUSY * 1e6 / live_load)
    memory = costs.process_mb + streams * costs.stream_kb / 1024
    everywhere = WORKERS * VCPUS
    tokens = everywhere * streams * TOKENS_PER_SECOND
    hour = VCPU_HOUR + GB_PER_VCPU * GB_HOUR
    million = hour / 3600 / (streams * TOKENS_PER_SECOND) * 1e6
    live_million = hour / 3600 / (live * TOKENS_PER_SECOND) * 1e6
    usual = hour / 3600 / (64 * TOKENS_PER_SECOND) * 1e6
    lines = [
        ("CPU of a row", f"{costs.row_usec:,.0f} us", "measured"),
        ("CPU of a chunk", f"{costs.chunk_usec:,.1f} us", "measured"),
        ("CPU of a delta that is published", f"{costs.delta_usec:,.1f} us", "measured, to no sink"),
        ("memory of an open stream", f"{costs.stream_kb:,.0f} KB", "measured"),
        ("memory of the process", f"{costs.process_mb:,.0f} MB", "measured, with few streams"),
        (
            "CPU of a stream",
            f"{load / 1e4:.2f} % of a core",
            f"{costs.chunk_usec:.1f} us x {TOKENS_PER_SECOND}/s"
            f" + {costs.row_usec:,.0f} us / {per_completion:.0f} s",
        ),
        ("streams of a vCPU", f"{streams:,}", f"{BUSY:.0%} of a core / {load / 1e4:.2f} %"),
        (
            "streams of a vCPU, deltas published",
            f"{live:,}",
            f"{BUSY:.0%} of a core / ({costs.delta_usec:.1f} us x {TOKENS_PER_SECOND}/s"
            f" + {costs.row_usec:,.0f} us / {per_completion:.0f} s)",
        ),
        (
            "memory of that process",
            f"{memory:,.0f} MB",
            f"{costs.process_mb:,.0f} MB + {streams:,} x {costs.stream_kb:,.0f} KB",
        ),
        (
            f"{WORKERS:,} workers of {VCPUS} vCPUs: streams",
            f"{everywhere * streams:,}",
            f"{everywhere:,} x {streams:,}",
        ),
        (
            "tokens a second",
            f"{tokens / 1e6:,.0f} million",
            f"{everywhere * streams:,} x {TOKENS_PER_SECOND}/s",
        ),
        (
            "requests a second at the provider",
            f"{tokens / COMPLETION_TOKENS:,.0f}",
            f"{everywhere * streams:,} / {per_completion:.0f} s",
        ),
        (
            "a million output tokens, in workers",
            f"{million:.5f} USD",
            f"{hour:.4f} USD an hour / ({streams:,} x {TOKENS_PER_SECOND}/s x 3600 s) x 10^6",
        ),
        (
            "the same, deltas published",
            f"{live_million:.5f} USD",
            f"{hour:.4f} USD an hour / ({live:,} x {TOKENS_PER_SECOND}/s x 3600 s) x 10^6",
        ),
        (
            "the same with the usual 64 streams of a process",
            f"{usual:.4f} USD",
            f"{hour:.4f} USD an hour / (64 x {TOKENS_PER_SECOND}/s x 3600 s) x 10^6",
        ),
    ]
    rows = [f"| {what} | {much} | {how} |" for what, much, how in lines]
    return "\n".join(["| what | how much | how |", "|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Measure, compute and simulate; print the results and write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--print", action="store_true", help="print only, write no file")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--chunks", type=int, default=100)
    ours = parser.parse_args()
    own = arithmetic(measure(ours.streams, ours.chunks))
    simulated = fleet.measure()
    found = f"{own}\nOn {os.cpu_count()} shared cores, on loopback, with {ours.streams} streams;"
    found += f" the medians of {ROUNDS} rounds.\n"
    found += f"\n{fleet.table(simulated)}\n![The fleet over time]({PLOT.name})\n"
    print(found)
    if not ours.print:
        fleet.plot(simulated, str(PLOT))
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(MARKS.sub(lambda m: f"{m[1]}{found}{m[2]}", page), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), live=sys.argv[5:] == ["live"])
    else:
        main()
