"""Starts redis-server, the server of deltas, and helpers, and reads what a process has used."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ROOT


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """Run redis-server for the time of the block; yields its address."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        command = ["redis-server", "--port", "0", "--unixsocket", f"{folder}/s", "--save", ""]
        with subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL) as server:
            while not os.path.exists(f"{folder}/s"):
                time.sleep(0.05)
            try:
                yield f"unix://{folder}/s"
            finally:
                server.terminate()


@contextlib.contextmanager
def program(module: str, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module for the time of the block, with pipes to it."""
    command = [sys.executable, "-m", module, *flags]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environ, text=True, bufsize=1, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def door(url: str, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the server of the deltas at `url`; yields it and its port."""
    listen = ("--from", url, "--listen", "127.0.0.1:0")
    with program("pipelines.serve_deltas", *listen, *flags) as process:
        line = told(process)
        told(process)
        yield process, int(line.rsplit(":", 1)[1].strip(" /\n"))


def told(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process. Raises RuntimeError if there is none."""
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise RuntimeError(f"{process.args} has ended with status {process.wait()}")
    return line


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Send a line to a process."""
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def resident_bytes(pid: int) -> int:
    """Return the memory of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, in the system too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
