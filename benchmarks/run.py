"""Measures all figures, and writes them.

    make bench

Writes benchmarks/results.md, and three of its rows between the marks in README.md.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shutil
from typing import Any

from benchmarks import ROOT
from benchmarks.client import chunks, dialects, import_time
from benchmarks.jobs import batch, memory

JOBS: dict[str, dict[str, Any]] = {
    "2,000 rows of 340 ms, 256 in flight": {
        "rows": 2000,
        "chunks": 20,
        "first_ms": 300,
        "gap_ms": 2,
        "max_in_flight": 256,
    },
    "2,000 rows of 50 chunks at 20 ms, 500 in flight": {
        "rows": 2000,
        "chunks": 50,
        "gap_ms": 20,
        "max_in_flight": 500,
    },
    "4,000 rows of 50 chunks at 20 ms, 2,000 in flight": {
        "rows": 4000,
        "chunks": 50,
        "gap_ms": 20,
        "max_in_flight": 2000,
    },
}
BAD_DAYS = {
    "storm": "429 to every request for 3 s",
    "limit": "a limit of 50 requests/s",
    "errors": "500 to every tenth attempt",
    "straggler": "every 50th takes 8 s, hedging on",
}
# The figures that the README shows.
SHOWN = (
    "a chunk, 1 stream, async",
    "2,000 rows of 340 ms, 256 in flight",
    "a delta, from the server's socket to a fused consumer, 100 streams",
)
MARKS = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def table() -> str:
    """Return the figures as a Markdown table.

    Modules that load Beam are imported after the memory is measured, because the system counts the
    memory of a parent in the peak of its child.
    """
    rows = []
    for statement, msec in import_time.measure().items():
        rows.append((f"`{statement}`", f"{msec:.0f} ms", "`benchmarks/client/import_time.py`"))
    for case, figures in chunks.measure().items():
        cost = f"{figures['ratio']:.1f}x a bare reader's CPU"
        detail = f"{figures['usec_per_chunk']:.1f} us against {figures['floor_usec_per_chunk']:.1f}"
        if "wall_ratio" in figures:
            detail += f", in {figures['wall_ratio']:.2f}x the time, {figures['peak_mb']:.0f} MB"
        rows.append((f"a chunk, {case}", f"{cost} ({detail})", "`benchmarks/client/chunks.py`"))
    for dialect, figures in dialects.measure().items():
        cost = f"{figures['ratio']:.1f}x the CPU of parsing it"
        detail = f"{figures['usec_per_chunk']:.1f} us against {figures['parse_usec']:.1f}"
        what = f"a chunk of `{dialect}`, without a network"
        rows.append((what, f"{cost} ({detail})", "`benchmarks/client/dialects.py`"))
    rows += [_job(what, case) for what, case in JOBS.items()]
    rows.append(_flat())
    rows += _formats()
    from benchmarks.jobs import liveness
    from benchmarks.trouble import bad_day

    for streams in (100, 500):
        seen = liveness.measure(streams)
        rows.append(
            (
                f"a delta, from the server's socket to a fused consumer, {streams} streams",
                f"{seen['p50_msec']:.1f} ms p50, {seen['p95_msec']:.1f} ms p95",
                "`benchmarks/jobs/liveness.py`",
            )
        )
    rows += _streaming()
    rows += _committed()
    for name, what in BAD_DAYS.items():
        day = bad_day.run(name)
        rows.append(
            (
                f"200 rows, 32 in flight, {what}",
                f"{day['completed']} of 200 in {day['span']:.1f} s, {day['requests']} requests",
                "`benchmarks/trouble/bad_day.py`",
            )
        )
    lines = [f"| {what} | {found} | {script} |" for what, found, script in rows]
    return "\n".join(["| what | measured | by |", "|---|---|---|", *lines]) + "\n"


def shown(found: str) -> str:
    """Return the rows of a table that the README shows."""
    head, line, *rows = found.splitlines()
    chosen = [row for row in rows if row.removeprefix("| ").split(" | ")[0] in SHOWN]
    return "\n".join([head, line, *chosen]) + "\n"


def _job(what: str, case: dict[str, Any]) -> tuple[str, str, str]:
    job = batch.measure(**case)
    return (
        what,
        f"{job['ratio']:.2f}x the ideal {job['ideal_seconds']:.1f} s"
        f" (a bare reader {job['reader_ratio']:.2f}x),"
        f" {job['rows_per_second']:.0f} rows/s, {job['cpu_msec_per_row']:.1f} ms CPU a row,"
        f" {job['peak_mb']:.0f} MB at most",
        "`benchmarks/jobs/batch.py`",
    )


def _flat() -> tuple[str, str, str]:
    few, many = (memory.measure(rows)["peak_mb"] for rows in (10_000, 100_000))
    return (
        "a job of 100,000 rows, against one of 10,000",
        f"{many / few:.2f}x the memory ({many:.0f} MB at most)",
        "`benchmarks/jobs/memory.py`",
    )


def _formats() -> list[tuple[str, str, str]]:
    from benchmarks.jobs import formats, output_formats, templates

    rows = [
        (what, found, "`benchmarks/jobs/formats.py`")
        for what, found in formats.figures(1_000_000, formats.FIGURES)
    ]
    written = output_formats.measure(20_000)
    found = ", ".join(f"{name} {usec:.1f}" for name, usec in written.items() if ":" not in name)
    rows.append(
        (
            "a completion with a row of ten columns, to a file",
            f"us of CPU: {found}",
            "`benchmarks/jobs/output_formats.py`",
        )
    )
    rendered = templates.measure()
    found = ", ".join(
        f"{name.removeprefix('template, ')} {usec:.1f}"
        for name, usec in rendered.items()
        if name.startswith("template, ")
    )
    return [
        *rows,
        ("a template for a row", f"us of CPU: {found}", "`benchmarks/jobs/templates.py`"),
    ]


def _streaming() -> list[tuple[str, str, str]]:
    from benchmarks.jobs import streaming

    paid, script = streaming.cost(), "`benchmarks/jobs/streaming.py`"
    cost = f"{paid['ratio']:.1f}x the bare client's CPU"
    detail = f"{paid['usec_per_delta']:.0f} us against {paid['bare_client_usec']:.0f}"
    rows = [
        (
            "a delta through the core and `PublishDeltas`, 1,000 streams",
            f"{cost} ({detail})",
            script,
        )
    ]
    if shutil.which("redis-server"):
        first = streaming.lateness()["first"]
        seen = f"{first['p50']:.0f} ms p50, {first['p95']:.0f} ms p95"
        what = "the first text of a completion, from the server's socket to a reader of Redis"
        rows.append((f"{what}, 100 streams", seen, script))
    return rows


def _committed() -> list[tuple[str, str, str]]:
    from benchmarks.jobs import committed
    from examples.runners import tools

    try:
        tools.prism()
    except tools.Missing:
        return []
    seen, script = committed.latency(), "`benchmarks/jobs/committed.py`"
    sent, delta = seen["due_to_sent"], seen["delta_to_consumer"]
    many, beam = committed.load(), committed.floor()
    cost = many["python_usec_per_delta"], many["prism_usec_per_delta"]
    floor = beam["python_usec_per_delta"], beam["prism_usec_per_delta"]
    return [
        (
            "10 prompts/s with `commit_every=0.2` on Prism, one in 40 takes 8 s",
            f"due to sent {sent['p50']:.2f} s p50, {sent['p95']:.2f} s p95; a delta to a consumer"
            f" behind a shuffle {delta['p50']:.2f} s p50, {delta['p95']:.2f} s p95",
            script,
        ),
        (
            "500 such streams, 20 deltas/s each",
            f"{cost[0]:.0f} us of Python's CPU a delta and {cost[1]:.0f} us of Prism's; an element"
            f" without a model costs {floor[0]:.0f} and {floor[1]:.0f} us",
            script,
        ),
    ]


def machine() -> str:
    """Return the machine, the versions and the date."""
    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in ("apache-beam", "httpx", "orjson")
    ]
    python = f"Python {platform.python_version()}"
    today = datetime.date.today().isoformat()
    return f"{os.cpu_count()} cores, {python}, {', '.join(versions)}, {today}. Ratios matter."


def main() -> None:
    """Measure all figures and write them."""
    from benchmarks.trouble import scenarios

    found = f"{table()}\nMeasured on loopback: {machine()}\n"
    trouble = "\n".join(scenarios.table())
    (ROOT / "benchmarks" / "results.md").write_text(
        f"# Results\n\n{found}\n## A provider in trouble\n\n{scenarios.ABOUT}\n\n{trouble}\n"
    )
    readme = ROOT / "README.md"
    readme.write_text(MARKS.sub(lambda m: m[1] + shown(found) + m[2], readme.read_text()))
    print(found)


if __name__ == "__main__":
    main()
