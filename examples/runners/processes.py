"""Starts groups of processes with a log for each, and ends all of them reliably."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# The signals that end a program but let it clean up.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Processes:
    """The processes of one `with` block, which ends them. Each writes to NAME.log in `logs`."""

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
            _end(process, 10)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        stdin: Path = Path(os.devnull),
    ) -> int:
        """Start `command` as the head of a process group; returns its id."""
        with (
            open(self.logs / f"{name}.log", "ab") as log,
            open(stdin, "rb") as source,
            _deferred(),
        ):
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

    def pid(self, name: str) -> int:
        """Return the id of the process."""
        return self._running[name].pid

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
        """Return the CPU time of the processes and their children so far."""
        groups = {process.pid for process in self._running.values()}
        ticks = sum(_ticks(stat, groups) for stat in Path("/proc").glob("[0-9]*/stat"))
        return ticks / os.sysconf("SC_CLK_TCK")

    def tail(self, name: str, lines: int = 20) -> str:
        """Return the end of the log of `name`."""
        text = (self.logs / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def _ticks(stat: Path, groups: set[int]) -> int:
    """Return the CPU ticks of a process of `groups`, including its ended children."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:  # the process has ended
        return 0
    return sum(map(int, fields[11:15])) if int(fields[2]) in groups else 0


def run(command: Sequence[str], seconds: float = 30.0) -> int:
    """Return the exit status of `command`, which shares the terminal but does not receive Ctrl-C.

    An interrupt of this program is passed on. Then the command has `seconds` to end by itself.
    """
    running: list[subprocess.Popen[bytes]] = []
    try:
        with _deferred():
            running.append(subprocess.Popen(command, start_new_session=True))
        return running[0].wait()
    except BaseException:
        for process in running:
            process.send_signal(signal.SIGINT)
            _end(process, seconds)
        raise


def end_once() -> None:
    """Raise SystemExit on Ctrl-C, SIGTERM or a closed terminal.

    Later signals are ignored, because the program is busy ending its processes.
    """

    def receive(number: int, frame: object) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in _ENDING:
        signal.signal(each, receive)


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """Defer signals to the end of the block, so that no process starts without being recorded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {
        each: signal.signal(each, lambda number, _: received.append(number)) for each in _ENDING
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in received[:1]:
            signal.raise_signal(number)


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait `seconds` for the process to end; then kill it and the rest of its group."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the process and its process group."""
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

    The pool starts workers as `python`, which must be this one, with `environ` and this folder.
    """
    python = Path(sys.executable)
    given = {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": os.getcwd(), **environ}
    module = "apache_beam.runners.worker.worker_pool_main"
    command = [*prefix, str(python), "-m", module, f"--service_port={port}"]
    processes.start(name, command, given)
    if not prefix:
        processes.wait_until(lambda: listens("127.0.0.1", port), name)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


def listens(host: str, port: int) -> bool:
    """Return whether a server listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
