"""The server's side: serve a model while somebody holds a lease. Knows nothing of the model."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable
from contextlib import closing
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
            with closing(
                _Leases(listener, {"error": f"{type(error).__name__}: {error}"})
            ) as leases:
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

    def wait_until_none_for(self, grace: float) -> None:
        """Return once nobody has held a lease for `grace` seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while events := selector.select(timeout=None if self._open else grace):
                for key, _ in events:
                    if key.fileobj is self._listener:
                        for lease in self.accept_waiting():
                            selector.register(lease, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and _has_hung_up(key.fileobj):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        self._open.discard(key.fileobj)

    def close(self) -> None:
        """Hang up on whoever still is there."""
        for lease in self._open:
            lease.close()

    def accept_waiting(self) -> list[socket.socket]:
        """Greet all who wait in the queue, and return those that are still there."""
        accepted: list[socket.socket] = []
        while True:
            try:
                lease, _ = self._listener.accept()
            except BlockingIOError:
                return accepted
            lease.setblocking(False)
            try:
                lease.sendall(self._greeting)
            except OSError:  # the client did not wait for the model
                lease.close()
            else:
                self._open.add(lease)
                accepted.append(lease)


def _has_hung_up(lease: socket.socket) -> bool:
    try:
        return not lease.recv(4096)
    except OSError:
        return True
