"""The server's side: serve a model while somebody holds a lease. Knows nothing of the model."""

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
    """A model that answers at `base_url` for as long as this object lives."""

    @property
    def base_url(self) -> str: ...
    @property
    def api_key(self) -> str: ...


def serve(listener: socket.socket, start_model: Callable[[], Model], grace: float) -> None:
    """Start the model, tell each client that connects where it is, and return when none is left.

    "None is left" means that for `grace` seconds nobody held a lease. Clients that connect while
    the model starts wait in the listener's queue, and hear of it if the start fails.
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
    """The open connections; whoever opens one is greeted with one line of JSON."""

    def __init__(self, listener: socket.socket, greeting: dict[str, str | int]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._greeting = json.dumps(greeting).encode() + b"\n"
        self._open: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self.accept_waiting)

    def wait_until_none_for(self, grace: float) -> None:
        """Return once nobody has held a lease for `grace` seconds."""
        while ready := self._selector.select(timeout=None if self._open else grace):
            for key, _ in ready:
                key.data()

    def accept_waiting(self) -> None:
        """Greet all who wait in the listener's queue."""
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
        """Hang up on whoever still is there."""
        self._selector.close()
        for lease in self._open:
            lease.close()
