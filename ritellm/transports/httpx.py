"""What both faces need of httpx: errors by our names, transports, and a read timeout that moves."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore
import httpx

from ritellm.calls.call import Call
from ritellm.errors import APIConnectionError, RitellmError, Timeout
from ritellm.types import HttpRequest

# After the terminator: how long to wait for the end of the body, so that the connection can be used
# again, and how much to read. A server may hold the socket open for ever.
DRAIN_SECONDS = 0.1
DRAIN_BYTES = 16 * 1024

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)


# An answer that comes uncompressed is buffered by no proxy.
_OURS = {"accept-encoding": "identity", "user-agent": "ritellm"}
_NONE: Mapping[str, str] = {}


def build_request(
    http: httpx.Client | httpx.AsyncClient, ask: HttpRequest, read: float | None, call: Call
) -> httpx.Request:
    """Return httpx's request for `ask`."""
    connect = write = call.plan.timeouts.connect
    if isinstance(read, ReadDeadline):
        # Where nobody watches over the call (the synchronous face) this limit must know the total.
        connect = ConnectDeadline.of(call)
    elif read is not None:
        connect = write = read
    timeouts = {"connect": connect, "read": read, "write": write, "pool": None}
    return http.build_request(
        ask.method,
        ask.url,
        headers=with_ours(ask.headers),
        content=ask.content,
        extensions={"timeout": timeouts},
    )


def with_ours(headers: Mapping[str, str], more: Mapping[str, str] = _NONE) -> dict[str, str]:
    """Return `headers`, with `more` and what every request has where the caller set nothing."""
    given = {name.lower() for name in headers}
    ours = {k: v for k, v in (*more.items(), *_OURS.items()) if k not in given}
    return ours | dict(headers)


def as_ritellm_error(error: Exception, call: Call) -> RitellmError:
    """Return our error for httpx's. The address is named, never the request: it holds the key."""
    if isinstance(error, Played):
        return error.error
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return call.timed_out("total" if _total_is_over(call) else "connect")
    if isinstance(error, httpx.WriteTimeout):
        return Timeout("the request could not be sent in time", code="write_timeout")
    if isinstance(error, httpx.ReadTimeout):
        name = call.deadline[1] if call.deadline else "first_chunk"
        return call.timed_out(name)
    where = _without_secrets(call.current.endpoint.base_url)
    if isinstance(error, httpx.ConnectError):
        return APIConnectionError(f"cannot connect to {where}: {error or 'refused'}")
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return APIConnectionError(f"not an address: {where}: {error}", retryable=False)
    return APIConnectionError(f"the connection to {where} broke: {error or type(error).__name__}")


def _total_is_over(call: Call) -> bool:
    total = call.plan.timeouts.total
    return total is not None and time.monotonic() >= call.timing.started + total


def _without_secrets(url: str) -> str:
    """Return an address without its password and its query."""
    scheme, mark, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


# What httpx raises when the network fails; InvalidURL is outside its tree.
FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


class Played(httpx.TransportError):
    """The failure at the end of a recording; `error` is what it was."""

    def __init__(self, error: RitellmError) -> None:
        super().__init__(error.message)
        self.error = error


class ReadDeadline(float):
    """A read timeout that knows what progress is.

    httpx takes one number per request and starts it anew with every byte, comments included. This
    number is handed down by httpx unchanged, and `_Connection` asks it what remains. To any other
    transport it is a plain number of seconds.
    """

    def __new__(cls, call: Call) -> ReadDeadline:
        limits = call.plan.timeouts
        known = [x for x in (limits.first_chunk, limits.inter_chunk) if x is not None]
        return super().__new__(cls, max(known, default=86_400.0))

    def __init__(self, call: Call) -> None:
        self._call = call
        self._drain_ends: float | None = None

    def drain(self) -> None:
        """From now on wait for the end of the body only."""
        self._drain_ends = time.monotonic() + DRAIN_SECONDS

    def remaining(self) -> float | None:
        """Return the seconds that are left, or None for ever."""
        ends = self._drain_ends
        if ends is None:
            deadline = self._call.deadline
            if deadline is None:
                return None
            ends = deadline[0]
        return ends - time.monotonic()


class ConnectDeadline(float):
    """A connect timeout that is not begun anew for TLS, nor goes beyond the call's total."""

    @classmethod
    def of(cls, call: Call) -> ConnectDeadline | None:
        """Return the limit for an attempt that begins now, or None for no limit."""
        limits, now = call.plan.timeouts, time.monotonic()
        ends = [now + limits.connect] if limits.connect is not None else []
        if limits.total is not None:
            ends.append(call.timing.started + limits.total)
        return cls(min(ends) - now) if ends else None

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left."""
        return self._ends - time.monotonic()


def _left_to_connect(timeout: float | None) -> float | None:
    if isinstance(timeout, ConnectDeadline):
        timeout = timeout.remaining()
        if timeout <= 0:
            raise httpcore.ConnectTimeout("no time left to connect")
    return timeout


def new_client(transport: httpx.BaseTransport | None) -> httpx.Client:
    """Return a client whose connections honour ReadDeadline, or one on the caller's `transport`."""
    if transport is not None:
        return httpx.Client(transport=transport)
    client = httpx.Client(limits=LIMITS)
    # httpx offers no way to hand in a network backend, httpcore does. Without these names (a later
    # httpx) the timeout is a plain number again: pings would count as progress.
    proxies = getattr(client, "_mounts", {}).values()
    for own in (getattr(client, "_transport", None), *proxies):
        pool: Any = getattr(own, "_pool", None)
        if hasattr(pool, "_network_backend"):
            pool._network_backend = _Backend(pool._network_backend)
    return client


def _keep_alive_options() -> list[tuple[int, int, int]]:
    wanted = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    known = [(getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)]
    tcp = [(socket.IPPROTO_TCP, option, value) for option, value in known]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *tcp]


NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
# The kernel finds out that the other side is gone: a stream may be silent for minutes.
KEEP_ALIVE = _keep_alive_options()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left_to_connect(timeout)
        options = [*(socket_options or ()), *KEEP_ALIVE]
        stream = self._inner.connect_tcp(host, port, left, local_address, options)
        return _Connection(stream)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _Connection(self._inner.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Connection(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if isinstance(timeout, ReadDeadline):
            timeout = timeout.remaining()
            if timeout is not None and timeout <= 0:
                raise httpcore.ReadTimeout("no progress")
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left_to_connect(timeout)
        return _Connection(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
