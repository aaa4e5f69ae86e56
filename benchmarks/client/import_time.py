"""Measures the time of an import: `python -m benchmarks.client.import_time`.

Each import runs in a new interpreter. The start of the interpreter does not count.
"""

from __future__ import annotations

import statistics
import subprocess
import sys


def measure(runs: int = 15) -> dict[str, float]:
    """Return the median milliseconds of each import; the second one loads the client."""
    return {
        "import ritellm": _msec("import ritellm", runs),
        "from ritellm import completion": _msec("from ritellm import completion", runs),
    }


def _msec(statement: str, runs: int) -> float:
    timed = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", timed]
    subprocess.run(command, check=True, capture_output=True)  # writes missing .pyc files
    times = []
    for _ in range(runs):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        times.append(float(done.stdout) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    for statement, msec in measure().items():
        print(f"{statement}: {msec:.1f} ms")
