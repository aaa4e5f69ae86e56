"""The server's side: serve a model while any client holds a lease."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Protocol


class Model(Protocol):
    """A model that is served at `base_url` for as long as this object lives."""

    @property
    def base_url(self) -> str: ...
    @property
    def api_key(self) -> str: ...


def serve(listener: socket.socket, start_model: Callable[[], Model], grace: float) -> None:
    """Start the model, send its address to each client, and return after `grace` idle seconds.

    Idle means that no client holds a lease. Clients that connect while the model starts wait in the
    listener's queue, and receive the error if the start fails.
    """
    with listener:
        try:
            model = start_model()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            with closing(_Leases(listener, {"error": reason})) as leases:
                leases.accept_waiting()
            raise
        with closing(_Leases(listener, _address(model))) as leases:
            leases.wait_until_none_for(grace)


def _address(model: Model) -> dict[str, str | int]:
    return {"base_url": model.base_url, "api_key": model.api_key, "pid": os.getpid()}


class _Leases:
    """The open connections; each new one receives the greeting, which is one line of JSON."""

    def __init__(self, listener: socket.socket, greeting: dict[str, str | int]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._greeting = json.dumps(greeting).encode() + b"\n"
        self._open: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self.accept_waiting)

    def wait_until_none_for(self, grace: float) -> None:
        """Return after `grace` seconds without a lease."""
        while ready := self._selector.select(timeout=None if self._open else grace):
            for key, _ in ready:
                key.data()

    def accept_waiting(self) -> None:
        """Accept and greet the clients in the listener's queue."""
        while True:
            try:
                lease, _ = self._listener.accept()
            except BlockingIOError:
                return
            lease.setblocking(False)
            try:
                lease.sendall(self._greeting)
            except OSError:  # the client did not wait for the model
                lease.close()
            else:
                self._open.add(lease)
                end_if_over = partial(self._end_if_over, lease)
                self._selector.register(lease, selectors.EVENT_READ, end_if_over)

    def _end_if_over(self, lease: socket.socket) -> None:
        try:
            over = lease.recv(4096) == b""
        except OSError:
            over = True
        if over:
            self._selector.unregister(lease)
            self._open.remove(lease)
            lease.close()

    def close(self) -> None:
        """Close the open connections."""
        self._selector.close()
        for lease in self._open:
            lease.close()
