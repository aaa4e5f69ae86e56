"""Processes that belong together: started with a log each, waited for, killed, ended for sure."""

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

# What ends a program from outside, and lets it say goodbye.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
            _see_end(process, 10)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        stdin: Path = Path(os.devnull),
    ) -> int:
        """Start `command` as the head of a process group; returns its id."""
        with open(self.logs / f"{name}.log", "ab") as log, open(stdin, "rb") as source, _held():
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


def run(command: Sequence[str], seconds: float = 30.0) -> int:
    """Return the exit status of `command`, which has this program's terminal but not its Ctrl-C.

    When this program is interrupted, that one is, and has so many seconds to end by itself.
    """
    running: list[subprocess.Popen[bytes]] = []
    try:
        with _held():
            running.append(subprocess.Popen(command, start_new_session=True))
        return running[0].wait()
    except BaseException:
        for process in running:
            process.send_signal(signal.SIGINT)
            _see_end(process, seconds)
        raise


def end_once() -> None:
    """Have Ctrl-C, SIGTERM and a closed terminal end this program by SystemExit.

    What comes after the first of them is ignored: this program is ending what it has started.
    """

    def heard(number: int, frame: object) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in _ENDING:
        signal.signal(each, heard)


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """Have signals wait for the end of the block: who has no name yet is not ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in _ENDING}
    try:
        yield
    finally:
        for each, heard in before.items():
            signal.signal(each, heard)
        for number in came[:1]:
            signal.raise_signal(number)


def _see_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return once the process has ended; after so many seconds, and all that it leaves, at once."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the process and all that it has started, as far as it is in its group."""
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
