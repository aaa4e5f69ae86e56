"""Processes that serve a port of this machine, and a wire to them that can be cut."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import threading
import time
from pathlib import Path

# A JVM on a busy machine takes its time.
START_SECONDS = 90


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Server:
    """A process that listens on `port`; started again it goes on with what it has on disk."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start; returns when it accepts connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        patience = time.monotonic() + START_SECONDS
        while not _accepts(self.port):
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < patience, self._log.read_text()[-2000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """Die at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Wire:
    """A TCP proxy in front of a port; while it is cut, connections are refused and none is left."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.join()

    def join(self) -> None:
        """Let connections through (again)."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self) -> None:
        """Drop every connection, and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
        with self._lock:
            for side in tuple(self._open):
                _close(side)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    _close(near)
                    _close(far)
                    return
                self._open |= {near, far}
            threading.Thread(target=self._carry, args=[near, far], daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with contextlib.suppress(OSError, ValueError):
            while True:
                for side in select.select([near, far], [], [])[0]:
                    data = side.recv(65536)
                    if not data:
                        raise ConnectionResetError
                    other[side].sendall(data)
        for side in (near, far):
            _close(side)
        with self._lock:
            self._open -= {near, far}


def _close(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
