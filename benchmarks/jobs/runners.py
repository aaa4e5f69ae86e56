"""Measures each Beam runner: rows a second and CPU a row, with one process and with several.

    python -m benchmarks.jobs.runners --rows 1000 --chunks 50 --gap_ms 20 --max_in_flight 200

All runners get the same rows and the same server. The start-up is the CPU of the same command for
one row, before and after the rows; it is subtracted. The CPU is that of all processes: program,
workers, and the runner's own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import ROOT, servers
from examples.runners import tools
from examples.runners.flink import FlinkCluster
from examples.runners.processes import Processes, free_port, listens, start_pool

DOCUMENT = ROOT / "docs" / "runners.md"
MARKS = re.compile(r"(<!-- runners -->\n).*?(<!-- /runners -->)", re.DOTALL)
HEAD = "| runner | workers | rows a second | CPU a row | CPU of the start |\n|---|---|---|---|---|"
KEY = {"OPENAI_API_KEY": "sk-none"}


class Running(NamedTuple):
    """A running Beam runner: the options that run a job there, and the CPU it has used."""

    flags: Sequence[str]
    cpu: Callable[[], float]


@contextlib.contextmanager
def here(workers: int) -> Iterator[Running]:
    """The local runner: one process, or several."""
    several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    yield Running(several if workers > 1 else [], lambda: 0.0)


@contextlib.contextmanager
def prism(workers: int) -> Iterator[Running]:
    """Prism, with workers that are threads of the program."""
    yield Running(["--runner=PrismRunner", f"--prism_location={tools.prism()}"], lambda: 0.0)


@contextlib.contextmanager
def job_server(workers: int) -> Iterator[Running]:
    """Beam's job server in Python, and workers of a pool."""
    port, pool = free_port(), free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    with tempfile.TemporaryDirectory() as logs, Processes(Path(logs)) as processes:
        processes.start("server", [sys.executable, "-m", module, "-p", str(port)])
        processes.wait_until(lambda: listens("127.0.0.1", port), "server")
        start_pool(processes, "workers", pool, KEY)
        flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]
        flags += ["--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}"]
        flags += [f"--direct_num_workers={workers}"]
        yield Running(flags, processes.cpu_seconds)


@contextlib.contextmanager
def flink(workers: int) -> Iterator[Running]:
    """Flink with a task manager, and a Python process, for each worker."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(FlinkCluster(folder, task_managers=workers))
        yield Running(cluster.flags_of_pool(KEY), cluster.cpu_seconds)


RUNNERS = {"FnApiRunner": here, "Prism": prism, "PortableRunner": job_server, "Flink": flink}
# Prism has one worker per environment.
CASES = [(name, n) for name in RUNNERS for n in (1, 2, 4) if name != "Prism" or n == 1]


def measure(
    runner: str, workers: int, rows: int, chunks: int, gap_ms: float, max_in_flight: int
) -> dict[str, float]:
    """Return rows a second, CPU a row and start-up of one runner."""
    serving = servers.serving("paced", chunks=chunks, gap_ms=gap_ms)
    with tempfile.TemporaryDirectory() as folder, serving as server, RUNNERS[runner](workers) as up:
        _run(Path(folder) / "warm", 1, server, max_in_flight, up)  # the first job costs more
        before = _run(Path(folder) / "before", 1, server, max_in_flight, up)
        full = _run(Path(folder) / "full", rows, server, max_in_flight, up)
        after = _run(Path(folder) / "after", 1, server, max_in_flight, up)
    start_up = (before["cpu"] + after["cpu"]) / 2  # that of a Java runner falls from run to run
    return {
        "rows_per_second": full["rows_per_second"],
        "cpu_msec_per_row": (full["cpu"] - start_up) / (rows - 1) * 1000,
        "start_up_cpu_seconds": start_up,
    }


def _run(
    folder: Path, rows: int, server: servers.Running, max_in_flight: int, up: Running
) -> dict[str, float]:
    folder.mkdir()
    lines = "".join(json.dumps({"prompt": f"Say something, {i}."}) + "\n" for i in range(rows))
    (folder / "in.jsonl").write_text(lines)
    command = [
        *(sys.executable, "-m", "pipelines.batch_complete", "--input", str(folder / "in.jsonl")),
        *("--output", str(folder / "out"), "--model", "openai/gpt-4o-mini", *up.flags),
        *("--base_url", server.base_url, "--max_in_flight", str(max_in_flight)),
    ]
    before = _cpu() + up.cpu()
    environ = {**os.environ, **KEY}
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environ)
    report = json.loads((folder / "out" / "report.json").read_text())
    if report["completed"] != rows:
        raise RuntimeError(f"{report['completed']} of {rows} rows completed: {report['errors']}")
    return {"cpu": _cpu() + up.cpu() - before, "rows_per_second": report["rows_per_second"]}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def lines(cases: Sequence[tuple[str, int]], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the head and the rest of each line; the rest is the reason if a runner is missing."""
    for runner, workers in cases:
        head = f"| {runner} | {workers} |"
        try:
            found = measure(runner, workers, **given)
        except tools.Missing as missing:
            yield head, f" {missing} | | |"
            continue
        rate, cpu, start = found.values()
        yield head, f" {rate:.0f} | {cpu:.1f} ms | {start:.1f} s |"


def write(measured: Mapping[str, str], note: str) -> None:
    """Put lines into the table in docs/runners.md; keep the lines of other runners."""
    text = DOCUMENT.read_text()
    before = dict(re.findall(r"^(\| [A-Za-z]+ \| \d \|)(.*)$", text, re.M)) | measured
    heads = [f"| {runner} | {workers} |" for runner, workers in CASES]
    rows = [head + before[head] for head in heads if head in before]
    table = "\n".join([HEAD, *rows, "", note])
    DOCUMENT.write_text(MARKS.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", text))


def main() -> None:
    """Measure, print a line for each runner, and write them into docs/runners.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--gap_ms", type=float, default=20)
    parser.add_argument("--max_in_flight", type=int, default=200, help="in each process")
    parser.add_argument("--runner", choices=RUNNERS, help="measure only this runner")
    parser.add_argument("--workers", type=int, choices=(1, 2, 4), help="only this many")
    given = vars(parser.parse_args())
    runner, workers = given.pop("runner"), given.pop("workers")
    cases = [(e, n) for e, n in CASES if runner in (None, e) and workers in (None, n)]
    note = (
        f"{given['rows']:,} rows of {given['chunks']} chunks, one every {given['gap_ms']:g} ms, at"
        f" most {given['max_in_flight']} in flight in each process; {os.cpu_count()} cores, which"
        " the server shares (`python -m benchmarks.jobs.runners`)."
    )
    print(HEAD)
    for head, rest in lines(cases, given):
        print(head + rest, flush=True)
        write({head: rest}, note)


if __name__ == "__main__":
    main()
