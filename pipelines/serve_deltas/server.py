"""Runs the application on a socket until `stop`."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipelines.errors import UsageError
from pipelines.serve_deltas.app import Door
from pipelines.serve_deltas.connection import Connection

# Files that the process may open besides the connections of readers.
_FILES = 100
# What the system keeps for a reader that does not read, in bytes.
_SEND_BUFFER = 1 << 16
_BACKLOG = 2_048
# Seconds that readers have to get the last bytes when the server ends.
_GOODBYE = 3


class _Protocol(HttpToolsProtocol):
    """Gives requests their connection, and tells it of what happens."""

    patience: float

    def connection_made(self, transport: Any) -> None:
        self._connection = Connection(transport, self.patience)
        self.app_state = {**self.app_state, "connection": self._connection}
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.lost()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connection.filled()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connection.drained()


class _Quiet(logging.Filter):
    """Keeps what uvicorn logs free of what requests and answers have in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg = f"a request has failed: {type(record.exc_info[1]).__name__}"
            record.args = record.exc_info = record.exc_text = None
        # A response breaks off on purpose, so that its reader learns that it is not whole.
        return record.levelno >= logging.ERROR and "without completing" not in str(record.msg)


class Server(uvicorn.Server):
    """Serves `door` on the bound socket `listener`; `stop` ends it, from any thread."""

    def __init__(self, door: Door, listener: socket.socket) -> None:
        self._door, self._listener = door, listener
        config = uvicorn.Config(
            door.app,
            http=type("_Protocol", (_Protocol,), {"patience": door.patience}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # addresses have ids and tokens
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_GOODBYE,
        )
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_Quiet())

    async def serve_until_stopped(self, began: Callable[[], object] = lambda: None) -> None:
        """Serve; call `began` once connections are accepted. Raises StoreUnavailable."""
        await self._door.start()
        watch = asyncio.create_task(self._report(began))
        try:
            await self.serve(sockets=[self._listener])
        finally:
            watch.cancel()
            await self._door.aclose()

    def stop(self) -> None:
        """End in an orderly way: each reader's response ends, and it can go to another server."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the readers end first, so that no connection is waited for."""
        await self._door.aclose()
        await super().shutdown(sockets)

    def capture_signals(self) -> Any:
        """Leave the signals to the program."""
        return nullcontext()

    async def _report(self, began: Callable[[], object]) -> None:
        while not self.started:
            await asyncio.sleep(0.01)
        began()


def allow_readers(most: int) -> None:
    """Let this process open as many connections, as far as the system allows it."""
    try:
        import resource
    except ImportError:  # Windows, where connections are no files
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _FILES if hard == resource.RLIM_INFINITY else min(most + _FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems have a lower bound than they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int, flag: str = "--listen") -> socket.socket:
    """Return a socket that is bound to `host` and `port` (0: any free one). Raises UsageError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"{flag} {host}:{port} cannot be used: {error.strerror or error}; choose another port"
        ) from None
    return listener
