"""Reads the sockets of one event loop with epoll: for the extra `fast`, on Linux.

Problem: asyncio makes an event, a handle and a buffer for each arrival at each socket.

Idea: the event loop watches one epoll, and this epoll watches all sockets. When the loop reports
it, all sockets with data are read in one go, into one buffer. Sockets that are read at intervals
leave the epoll. They share timers, so that hundreds of streams cost one wake-up.

    registered --unregister--> collected at intervals --register--> registered
    (epoll reports data)       (`collect_later`, a timer)

Invariants:
- Registration is edge-triggered: new data is reported once, so `readable` must read it all.
- A socket is unregistered before it is closed: its number may belong to another file afterwards.
- Without registered sockets there is no epoll, so a client need not be closed.

Every chunk of every stream passes through here; `benchmarks/client/chunks.py` measures the cost.
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
# The most sockets that are read before the loop's other work runs.
_AT_ONCE = 256
_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_HANGUP = select.EPOLLRDHUP | select.EPOLLHUP
# Streams that are read at intervals share timers, of a 16th to an 8th of their pause.
_SLOTS = 16
_FINEST = 2.0**-10

# What a socket raises when it has nothing to read, or no room to write.
NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Readable(Protocol):
    """What reads one socket."""

    socket: socket.socket

    def readable(self, hangup: bool) -> None:
        """Read until nothing is left; `hangup` says that the end has arrived."""

    def collect(self, due: float) -> None:
        """Read what has arrived since the last time, unless `due` is out of date."""


class Sockets:
    """All sockets of one event loop, and the buffer that they are read into."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(READ_BYTES))
        self._registered: dict[int, Readable] = {}
        self._slots: dict[float, list[Readable]] = {}  # by the time to collect at
        self._epoll: select.epoll | None = None

    def register(self, each: Readable) -> None:
        """Call `each.readable` whenever data arrives."""
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._ready)
        fd = each.socket.fileno()
        self._registered[fd] = each
        self._epoll.register(fd, _EDGES)

    def unregister(self, each: Readable) -> None:
        """Stop calling `each.readable`. Call this before its socket is closed."""
        fd = each.socket.fileno()
        if self._registered.get(fd) is not each or self._epoll is None:
            return
        del self._registered[fd]
        self._epoll.unregister(fd)
        if not self._registered:
            self._close(self._epoll)

    def collect_later(self, each: Readable, now: float, seconds: float) -> float:
        """Call `each.collect` in about `seconds`; return the time of the call.

        Calls of about the same time share a timer.
        """
        # A power of two, so that about equal pauses have common multiples.
        grain = max(2.0 ** math.frexp(seconds / _SLOTS)[1], _FINEST)
        due = math.ceil((now + seconds) / grain) * grain
        slot = self._slots.get(due)
        if slot is None:
            slot = self._slots[due] = []
            asyncio.get_running_loop().call_at(due, self._collect, due)
        slot.append(each)
        return due

    def _ready(self) -> None:
        epoll, registered = self._epoll, self._registered
        if epoll is None:
            return
        for fd, mask in epoll.poll(0, _AT_ONCE):
            each = registered.get(fd)  # None: an earlier one has closed it
            if each is not None:
                each.readable(mask & _HANGUP != 0)

    def _collect(self, due: float) -> None:
        for each in self._slots.pop(due):
            each.collect(due)

    def _close(self, epoll: select.epoll) -> None:
        """Close the epoll; `register` opens another."""
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
