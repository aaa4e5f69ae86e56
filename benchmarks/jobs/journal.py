"""Measures the journal: recording, lookups, opening, and the memory of a million rows.

    python -m benchmarks.jobs.journal [ROWS]

A process of its own opens the existing journal, like a job that continues.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks import ROOT
from transforms.journal import JournalKey, Spent, request_hash
from transforms.journal.folder.journal import FolderJournal
from transforms.journal.redis import RedisJournal
from transforms.journal.sqlite.journal import SqliteJournal

WORDS = 100
IN_FLIGHT = 2000
LOOKUPS = 20_000
IN_ORDER = 100_000


def key(number: int) -> JournalKey:
    """Return the key of one row; each row has its own request, hashed as in a job."""
    request = {"messages": [{"role": "user", "content": f"What is the meaning of {number}?"}]}
    return JournalKey(f"in.jsonl:{number}", request_hash("openai/m", None, {}, request))


def values(count: int = 2000) -> list[bytes]:
    """Return completions of about 1 kB, as a provider sends them."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(3000)]
    usage = {"prompt_tokens": 50, "completion_tokens": 130, "total_tokens": 180}
    timing = {"ttft": 0.31, "total": 1.98, "inter_chunk": {"p50": 0.012, "p95": 0.034}}
    made = []
    for _ in range(count):
        message = {"role": "assistant", "content": " ".join(dice.choices(words, k=WORDS))}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        completion = {
            "id": f"chatcmpl-{dice.getrandbits(96):x}",
            "object": "chat.completion",
            "created": 1760000000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [choice],
            "usage": usage,
        }
        made.append(orjson.dumps({"completion": completion, "attempts": 1, "timing": timing}))
    return made


def record(journal: Any, rows: int) -> float:
    """Record `rows` completions, `IN_FLIGHT` at a time; return the wall seconds per row."""
    answers, waiting = values(), []
    keys = [key(number) for number in range(rows)] if rows <= 100_000 else None
    started = time.perf_counter()
    for number in range(rows):
        at = keys[number] if keys else key(number)
        waiting.append(journal.record(at, answers[number % len(answers)], Spent(180, 0.0001)))
        if len(waiting) == IN_FLIGHT:
            for future in waiting:
                future.result()
            waiting.clear()
    for future in waiting:
        future.result()
    return (time.perf_counter() - started) / rows


def look_up(journal: Any, rows: int) -> dict[str, float]:
    """Return the median time of a hit and of a miss, and the mean time of lookups in order."""
    dice = random.Random(2)

    def usec(numbers: Iterable[int]) -> list[float]:
        times = []
        for number in numbers:
            at = key(number)
            started = time.perf_counter()
            journal.lookup(at)
            times.append((time.perf_counter() - started) * 1e6)
        return times

    # In order, as a repeated command does. The first lookup in a file fetches the file.
    return {
        "in_order_usec": statistics.mean(usec(range(min(rows, IN_ORDER)))),
        "lookup_usec": statistics.median(usec(dice.randrange(rows) for _ in range(LOOKUPS))),
        "miss_usec": statistics.median(usec(rows + dice.randrange(rows) for _ in range(LOOKUPS))),
    }


def memory_mb(name: str) -> float:
    """Return the resident memory of this process, now (VmRSS) or at most (VmHWM), in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024 / 1e6


@contextlib.contextmanager
def redis_server(folder: str) -> Iterator[str]:
    """Run a Redis server with an append-only file, which it syncs each second."""
    where = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", folder]
    command = ["redis-server", *where, "--appendonly", "yes", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "ready to accept" not in process.stdout.readline().lower():
            pass
        try:
            yield f"unix://{folder}/redis.sock"
        finally:
            process.kill()


def open_at(kind: str, place: str) -> Any:
    """Open a journal of the given kind."""
    if kind == "sqlite":
        return SqliteJournal(place, "a run")
    return RedisJournal(place, "job") if kind == "redis" else FolderJournal(place, linger=0.05)


def measure(kind: str, rows: int) -> dict[str, float]:
    """Return the figures of one kind of journal."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server(folder)) if kind == "redis" else ""
        place = url or f"{folder}/journal"
        journal = open_at(kind, place)
        cpu = time.process_time()
        figures = {"record_usec": record(journal, rows) * 1e6}
        figures["record_cpu_usec"] = (time.process_time() - cpu) / rows * 1e6
        journal.close()
        figures["disk_bytes_a_row"] = _size(folder) / rows
        figures["reopen_seconds"] = _in_new_process(rows, kind, place)["open_seconds"]
        if kind == "sqlite":  # as after `kill -9`, which leaves no note in it
            os.remove(f"{place}.lock")
        return figures | _in_new_process(rows, kind, place)


def measure_opening(kind: str, rows: int, place: str) -> dict[str, float]:
    """Return the cost of opening an existing journal, and of lookups in it."""
    before = memory_mb("VmHWM")
    started = time.perf_counter()
    journal = open_at(kind, place)
    figures = {"open_seconds": time.perf_counter() - started}
    figures["open_mb"] = memory_mb("VmHWM") - before
    figures |= look_up(journal, rows)
    figures["grown_mb"] = memory_mb("VmHWM") - before
    journal.close()
    return figures


def _in_new_process(*arguments: object) -> dict[str, float]:
    """Run this program with other arguments in a new process; return its figures."""
    command = [sys.executable, "-m", "benchmarks.jobs.journal", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    figures: dict[str, float] = orjson.loads(done.stdout)
    return figures


def _size(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def key_usec(rows: int = 50_000) -> float:
    """Return the microseconds to make the key of a small request."""
    started = time.perf_counter()
    for number in range(rows):
        key(number)
    return (time.perf_counter() - started) / rows * 1e6


def main(rows: int) -> None:
    """Measure each kind in a process of its own, and print a line for it."""
    print(
        f"{rows:,} rows of {statistics.mean(map(len, values())):.0f} bytes, {IN_FLIGHT} in flight"
    )
    print(f"making a key: {key_usec():.1f} us")
    kinds = ["sqlite", "folder", *(["redis"] if shutil.which("redis-server") else [])]
    for kind in kinds:
        figures = _in_new_process(rows, kind)
        print(f"{kind:7}", "  ".join(f"{name} {value:,.4g}" for name, value in figures.items()))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if len(sys.argv) > 3:
        print(orjson.dumps(measure_opening(sys.argv[2], count, sys.argv[3])).decode())
    elif len(sys.argv) > 2:
        print(orjson.dumps(measure(sys.argv[2], count)).decode())
    else:
        main(count)
