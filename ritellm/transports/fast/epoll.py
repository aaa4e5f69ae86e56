"""Reads the sockets of one event loop: for the extra `fast`, where there is epoll.

asyncio makes an event, a handle and a buffer of each arrival; here all that have arrived meanwhile
are read in one go, into one buffer. Each chunk of each stream passes through here:
`benchmarks/client.py` has what that costs.
"""

from __future__ import annotations

import asyncio
import math
import select
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

READ_BYTES = 64 * 1024
# So many sockets are read before the loop's other work has its turn.
_AT_ONCE = 256
_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_HANGUP = select.EPOLLRDHUP | select.EPOLLHUP
# Streams that are read now and then share timers: one in the 16th to the 8th part of their pause.
_SLOTS = 16
_FINEST = 2.0**-10

# A socket that has nothing to read, or no room to write, just now.
NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Readable(Protocol):
    """What is told that there may be something to read."""

    socket: socket.socket

    def readable(self, hangup: bool) -> None:
        """Read until nothing is left; with `hangup` the end is there already."""

    def collect(self, due: float) -> None:
        """Read what has come since the last time, if that is to be done at `due`."""


class Sockets:
    """All sockets of one event loop, and the buffer they are read into."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(READ_BYTES))
        self._watched: dict[int, Readable] = {}
        self._slots: dict[float, list[Readable]] = {}
        self._epoll: select.epoll | None = None

    def watch(self, each: Readable) -> None:
        """Tell `each` whenever something has come."""
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._ready)
        fd = each.socket.fileno()
        self._watched[fd] = each
        self._epoll.register(fd, _EDGES)

    def forget(self, each: Readable) -> None:
        """Tell `each` nothing more. To be called before its socket is closed."""
        fd = each.socket.fileno()
        if self._watched.get(fd) is not each or self._epoll is None:
            return
        del self._watched[fd]
        self._epoll.unregister(fd)
        if not self._watched:
            self._close(self._epoll)

    def collect_later(self, each: Readable, now: float, seconds: float) -> float:
        """Have `each` collect what comes until then, together with others of about that time.

        Return when that is.
        """
        # A power of two: those that wait for about as long share their slots.
        grain = max(2.0 ** math.frexp(seconds / _SLOTS)[1], _FINEST)
        due = math.ceil((now + seconds) / grain) * grain
        slot = self._slots.get(due)
        if slot is None:
            slot = self._slots[due] = []
            asyncio.get_running_loop().call_at(due, self._collect, due)
        slot.append(each)
        return due

    def _ready(self) -> None:
        epoll, watched = self._epoll, self._watched
        if epoll is None:
            return
        for fd, mask in epoll.poll(0, _AT_ONCE):
            each = watched.get(fd)  # it may have been closed just now
            if each is not None:
                each.readable(mask & _HANGUP != 0)

    def _collect(self, due: float) -> None:
        for each in self._slots.pop(due):
            each.collect(due)

    def _close(self, epoll: select.epoll) -> None:
        """Hold nothing while there is nothing to hold it for: nobody has to remember to close."""
        self._epoll = None
        loop = asyncio.get_running_loop()
        loop.remove_reader(epoll.fileno())
        epoll.close()


async def secured(tcp: socket.socket, trust: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Return `tcp`, which does not block, with TLS to `host`; raises ssl.SSLError or OSError."""
    secure = trust.wrap_socket(tcp, server_hostname=host, do_handshake_on_connect=False)
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                secure.do_handshake()
                return secure
            except ssl.SSLWantReadError:
                await _once(loop.add_reader, loop.remove_reader, secure.fileno())
            except ssl.SSLWantWriteError:
                await _once(loop.add_writer, loop.remove_writer, secure.fileno())
    except BaseException:
        secure.close()
        raise


async def _once(add: Callable[..., None], remove: Callable[[int], object], fd: int) -> None:
    """Return once `fd` is ready."""
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
