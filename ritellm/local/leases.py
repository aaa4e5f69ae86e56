"""The client's side: find the server or start it, and hold a lease on it.

The problem: several clients may start at the same time, and they must share one server, although
loading the model takes seconds and a server may stop or be killed at any moment.

The idea: a client that finds no listener binds the socket under a lock and passes it to a new
server. Other clients can then connect at once and wait in the socket's queue.

The invariant: only a listening socket counts; no file says which process serves. A socket file
without a listener, left behind by a dead server, is replaced.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from ritellm.local.base import LocalServer, LocalServerError
from ritellm.local.state import StateDir, locked, state_dir

START_SECONDS = 120.0
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Lease:
    server: LocalServer
    connection: int  # a bare descriptor, which only the end of the process closes

    def is_alive(self) -> bool:
        """Return whether the server still runs: after its greeting it sends nothing."""
        try:
            return os.read(self.connection, 1) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


@dataclass(slots=True)
class _Process:
    """The lease of this process; a forked child starts without one."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    lease: _Lease | None = None
    listener: socket.socket | None = None


_process = _Process()


def take(model: str) -> LocalServer:
    """Return the server on which this process holds a lease, started if there is none."""
    with _process.turn:
        if _process.lease is None or not _process.lease.is_alive():
            _give_back()
            _process.lease = _lease(state_dir(), model)
        return _process.lease.server


def _give_back() -> None:
    lease, _process.lease = _process.lease, None
    if lease is not None:
        os.close(lease.connection)


def _forget() -> None:
    """Close the parent's lease in a forked child, where it would keep the server running."""
    global _process
    parent, _process = _process, _Process()
    if parent.lease is not None:
        os.close(parent.lease.connection)
    if parent.listener is not None:
        parent.listener.close()


os.register_at_fork(after_in_child=_forget)


def _lease(state: StateDir, model: str) -> _Lease:
    for _ in range(_ATTEMPTS):
        with _connect(state) or _connect_or_start(state, model) as connection:
            greeting = _read_line(connection, state)
            if greeting:
                server = _server(greeting, state)
                connection.setblocking(False)
                return _Lease(server, connection.detach())
        # The server stopped or died just now. Another attempt may reach a new one.
    raise LocalServerError(f"the local model's server stops when it starts; see {state.log}")


def _server(greeting: bytes, state: StateDir) -> LocalServer:
    fields = json.loads(greeting)
    if "error" in fields:
        raise LocalServerError(f"the local model did not start: {fields['error']}; see {state.log}")
    return LocalServer(**fields)


def _connect(state: StateDir) -> socket.socket | None:
    """Return a connection to the server, or None if there is no listener."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.fspath(state.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _connect_or_start(state: StateDir, model: str) -> socket.socket:
    with locked(state.lock):
        connection = _connect(state)
        if connection is None:
            _start(state, model)
            connection = _connect(state)
    if connection is None:
        raise LocalServerError(f"the local model's server did not start; see {state.log}")
    return connection


def _start(state: StateDir, model: str) -> None:
    """Start a server on the state directory's socket, which outlives this process."""
    state.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, state.log.open("wb") as log:
        _process.listener = listener
        listener.bind(os.fspath(state.socket))
        listener.listen(socket.SOMAXCONN)
        try:
            # Returns soon: the server forks, so this process has no child to wait for.
            subprocess.run(
                [sys.executable, "-m", "ritellm.local", model, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=state.path,
                env={**os.environ, "PYTHONPATH": _import_path()},
                start_new_session=True,
                check=False,
            )
        finally:
            _process.listener = None


def _import_path() -> str:
    """Return this process's import path, so that the server finds the same packages."""
    return os.pathsep.join(os.path.abspath(path) for path in sys.path)


def _read_line(connection: socket.socket, state: StateDir) -> bytes:
    """Return the server's greeting, which it sends once it is ready; b"" if it hung up first."""
    connection.settimeout(START_SECONDS)
    line = b""
    try:
        while not line.endswith(b"\n"):
            data = connection.recv(4096)
            if not data:
                return b""
            line += data
    except ConnectionError:
        return b""
    except TimeoutError:
        raise LocalServerError(
            f"the local model was not ready in {START_SECONDS:.0f} s; see {state.log}"
        ) from None
    return line
