"""Processes that belong together: started with a log each, waited for, killed, ended for sure."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Processes:
    """The processes of one `with` block; none outlives it. Each writes to NAME.log in `logs`."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *failure: object) -> None:
        for name in reversed(self._running):
            self.kill(name, signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        stdin: Path = Path(os.devnull),
    ) -> int:
        """Start `command` as the head of a process group; returns its id."""
        with open(self.logs / f"{name}.log", "ab") as log, open(stdin, "rb") as source:
            self._running[name] = subprocess.Popen(
                command,
                env={**os.environ, **(environ or {})},
                stdin=source,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._running[name].pid

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal the process and all that it started."""
        _signal(self._running[name], number)
        if number == signal.SIGKILL:
            self._running[name].wait()

    def wait(self, name: str, seconds: float) -> int:
        """Return the exit status of a process that ends by itself."""
        return self._running[name].wait(timeout=seconds)

    def wait_until(self, there: Callable[[], object], name: str, seconds: float = 60.0) -> None:
        """Return once `there()` is true; raises RuntimeError with the end of the log of `name`."""
        end = time.monotonic() + seconds
        while not there():
            if time.monotonic() > end or self._running[name].poll() is not None:
                raise RuntimeError(f"{name} did not come up:\n{self.tail(name)}")
            time.sleep(0.1)

    def __contains__(self, name: str) -> bool:
        return name in self._running

    def children(self, name: str) -> list[int]:
        """Return the ids of the processes that `name` has started itself."""
        threads = Path(f"/proc/{self._running[name].pid}/task").iterdir()
        return [int(id) for thread in threads for id in (thread / "children").read_text().split()]

    def cpu_seconds(self) -> float:
        """Return what all of them, and all that they have started, have used so far."""
        groups = {process.pid for process in self._running.values()}
        ticks = sum(_ticks(stat, groups) for stat in Path("/proc").glob("[0-9]*/stat"))
        return ticks / os.sysconf("SC_CLK_TCK")

    def tail(self, name: str, lines: int = 20) -> str:
        """Return the end of the log of `name`."""
        text = (self.logs / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def _ticks(stat: Path, groups: set[int]) -> int:
    """Return what a process of `groups` has used, with its children that have ended."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:  # it is gone
        return 0
    return sum(map(int, fields[11:15])) if int(fields[2]) in groups else 0


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def start_pool(
    processes: Processes,
    name: str,
    port: int,
    environ: Mapping[str, str],
    prefix: Sequence[str] = (),
) -> None:
    """Start Beam's worker pool for EXTERNAL environments: a Python process for each worker.

    It starts them as `python`, which must be this one, with `environ` and the code of this folder.
    """
    python = Path(sys.executable)
    given = {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": os.getcwd(), **environ}
    module = "apache_beam.runners.worker.worker_pool_main"
    command = [*prefix, str(python), "-m", module, f"--service_port={port}"]
    processes.start(name, command, given)
    if not prefix:
        processes.wait_until(lambda: answers("127.0.0.1", port), name)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


def answers(host: str, port: int) -> bool:
    """Return whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
