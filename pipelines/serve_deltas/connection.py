"""The connection of a request, to which a response that follows a stream writes itself.

The problem: the way of ASGI costs a task that wakes up, a lock and three copies for each reader and
delta, which is ten times what the system takes to send it.

The idea: uvicorn writes the head of a response and its end. Between them, the response writes
chunks to the transport, which never waits. The chunk of a delta is made once for all readers.

What holds: a connection whose buffer is full gets nothing until it has been read. So what is kept
for a reader is bounded by the buffer and what it lacked when it was last given something. One that
takes nothing for `patience` seconds is cut off.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

# What the process keeps for a reader that does not read, in bytes.
_WRITE_BUFFER = 1 << 14


class Receiver(Protocol):
    """What a connection tells of itself."""

    def push(self) -> None:
        """Write what the reader lacks: there is room again."""

    def leave(self) -> None:
        """Notice that the reader has gone."""


class Connection:
    """The way to one reader, or to the several readers of one page."""

    __slots__ = ("_patience", "_receivers", "_timer", "_transport", "is_full")

    def __init__(self, transport: Any, patience: float) -> None:
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._transport, self._patience = transport, patience
        self._receivers: set[Receiver] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.is_full = False  # the reader does not read what it gets

    def write(self, chunk: bytes) -> None:
        """Send what `chunk_of` has made, at once or later."""
        self._transport.write(chunk)

    def attach(self, receiver: Receiver) -> None:
        """Tell `receiver` when there is room again, and when the reader has gone."""
        if self._transport.is_closing():
            receiver.leave()
        self._receivers.add(receiver)

    def detach(self, receiver: Receiver) -> None:
        """Tell it nothing more."""
        self._receivers.discard(receiver)

    def filled(self) -> None:
        """Hold back what follows, until the reader has read."""
        self.is_full = True
        self._look(self._waiting() + 1)

    def drained(self) -> None:
        """Give the reader what it lacks."""
        self.is_full = False
        self._forget_timer()
        for receiver in list(self._receivers):
            receiver.push()

    def lost(self) -> None:
        """Tell that the reader has gone."""
        self._forget_timer()
        for receiver in list(self._receivers):
            receiver.leave()

    def _waiting(self) -> int:
        size: int = self._transport.get_write_buffer_size()
        return size

    def _look(self, before: int) -> None:
        """Cut a reader that has taken nothing since the last look."""
        waiting = self._waiting()
        if waiting >= before:
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._patience, self._look, waiting)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def chunk_of(body: bytes) -> bytes:
    """Return `body` as a chunk of a response (RFC 9112, 7.1); nothing for an empty one."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def connection_of(scope: Any) -> Connection:
    """Return the connection of a request."""
    connection: Connection = scope["state"]["connection"]
    return connection
