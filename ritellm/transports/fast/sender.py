"""Sends the bytes of a request over a non-blocking socket: extra `fast`."""

from __future__ import annotations

import asyncio
import socket

from ritellm.transports.fast.epoll import NOT_NOW


class Sender:
    """Sends one request at a time; what the kernel does not take at once is sent later."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = sock
        self._loop = loop
        self._unsent = memoryview(b"")
        self._is_waiting = False  # the event loop calls `_write` when the kernel can take more

    @property
    def is_done(self) -> bool:
        """Whether the kernel has taken the whole request."""
        return not self._unsent

    def send(self, request: bytes) -> None:
        """Send `request`. The response may arrive before all of it is sent."""
        self._unsent = memoryview(request)
        self._write()

    def stop(self) -> None:
        """Send no more. Call this before the socket is closed."""
        if self._is_waiting:
            self._is_waiting = False
            self._loop.remove_writer(self._socket.fileno())

    def _write(self) -> None:
        """Send what the kernel takes now; the event loop calls this again for the rest."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except NOT_NOW:
            if not self._is_waiting:
                self._is_waiting = True
                self._loop.add_writer(self._socket.fileno(), self._write)
            return
        except OSError:
            pass  # reading finds the reason, and what the server has sent before
        self.stop()
