"""Requests to stop, from Redis: `pipelines.serve_deltas` adds them to a stream, workers read it."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transforms.connections.delta_streams import KEY, split_options, stops_of
from transforms.connections.redis import IMPATIENT, connect, public_address
from transforms.worker.stops.stop_requests import PENDING_SECONDS, StopRequests

_log = logging.getLogger("transforms.stops")

# Milliseconds that a read waits; the client's own timeout is longer.
_BLOCK = 2_000
_DELAY = 1.0

_lock = threading.Lock()
_listening: weakref.WeakValueDictionary[str, StopRequests] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class RedisStops:
    """Makes the requests to stop at `url`, which is that of the sink of the deltas.

    One thread in a process reads them. It ends with the last job that uses them.
    """

    url: str

    def __call__(self) -> StopRequests:
        """Return the requests of this process. Raises ValueError for a bad address."""
        with _lock:
            requests = _listening.get(self.url)
            if requests is None:
                requests = _listening[self.url] = _listen(self.url)
            return requests

    def __repr__(self) -> str:
        return f"RedisStops({public_address(self.url)})"  # without the password


def _listen(url: str) -> StopRequests:
    address, options = split_options(url)
    client, _ = connect(address, "", IMPATIENT)
    requests, over = StopRequests(), threading.Event()
    weakref.finalize(requests, over.set)
    reader = _Reader(client, stops_of(options.get("key", KEY)), weakref.ref(requests), over)
    threading.Thread(target=reader.run, name="ritellm-stops", daemon=True).start()
    return requests


@dataclass
class _Reader:
    """The state of the thread. It does not keep the requests alive."""

    client: Any
    stream: str
    requests: Callable[[], StopRequests | None]
    over: threading.Event
    last: str | None = None

    def run(self) -> None:
        """Read until the requests are out of use."""
        told = False
        while not self.over.is_set():
            try:
                self._read()
                told = False
            except Exception as error:
                if not told:
                    _log.warning("requests to stop cannot be read: %s; trying again", error)
                told = True
                self.over.wait(_DELAY)
        self.client.close()

    def _read(self) -> None:
        if self.last is None:
            seconds, _ = self.client.time()
            # A request may have come before the worker that gets its prompt.
            self.last = f"{int((seconds - PENDING_SECONDS) * 1000)}-0"
        for _, entries in self.client.xread({self.stream: self.last}, block=_BLOCK) or ():
            for number, fields in entries:
                self.last = number.decode()
                requests = self.requests()
                if requests is not None and (id := fields.get(b"id")):
                    requests.stop(id.decode("utf-8", "replace"))
