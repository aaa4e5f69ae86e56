"""Sends requests with httpx, and turns its failures into errors of this library.

httpx is used without the extra `fast`, behind a proxy, and with the caller's own `transport=`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any
from urllib.request import getproxies

import httpcore
import httpx

from ritellm.calls.call import Call
from ritellm.errors import APIConnectionError, RitellmError, Timeout
from ritellm.masking import masked_url
from ritellm.transports.deadlines import Deadlines
from ritellm.transports.descriptors import shortage
from ritellm.transports.refusals import RefusalCounter
from ritellm.transports.settings import checked_settings, is_loopback
from ritellm.transports.sockets import IDLE_SECONDS, KEEP_ALIVE
from ritellm.types import HttpRequest

LIMITS = httpx.Limits(
    max_connections=None, max_keepalive_connections=None, keepalive_expiry=IDLE_SECONDS
)
# Proxies do not buffer a response that is not compressed.
_DEFAULTS = {"accept-encoding": "identity", "user-agent": "ritellm"}
_NONE: Mapping[str, str] = {}


class HttpxTransport:
    """httpx, on its own transport or on the caller's."""

    def __init__(self, transport: httpx.BaseTransport | None) -> None:
        self._has_proxies = transport is None and bool(getproxies())
        self._client = _new_client(transport)
        self._refusals = RefusalCounter()

    def send(self, request: HttpRequest, deadlines: Deadlines) -> httpx.Response:
        """Return the response once its headers have arrived; raises one of FAILURES."""
        connect, read = _connect_limit(deadlines), _read_limit(deadlines)
        with _checked_host():
            client = self._direct if self._has_proxies and _is_direct(request.url) else self._client
            built = _build(client, request, connect, read, deadlines.write)
            response = client.send(built, stream=True)
        self._refusals.note(response)
        return response

    def close(self) -> None:
        """Close all connections."""
        for client in {self._client, self.__dict__.get("_direct", self._client)}:
            client.close()

    @cached_property
    def _direct(self) -> httpx.Client:
        """The client that uses no proxy."""
        return _new_client(None, mounts=_NO_PROXY)


class AsyncHttpxTransport:
    """httpx for the asynchronous face."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        self._has_proxies = transport is None and bool(getproxies())
        with nullcontext() if transport is not None else checked_settings():
            self._client = httpx.AsyncClient(transport=transport, limits=LIMITS)
        self._refusals = RefusalCounter()

    async def send(self, request: HttpRequest, deadlines: Deadlines) -> httpx.Response:
        """Return the response once its headers have arrived; raises one of FAILURES."""
        connect, read = deadlines.connect, deadlines.longest_read
        with _checked_host():
            client = self._direct if self._has_proxies and _is_direct(request.url) else self._client
            built = _build(client, request, connect, read, deadlines.write)
            response = await client.send(built, stream=True)
        self._refusals.note(response)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for client in {self._client, self.__dict__.get("_direct", self._client)}:
            await client.aclose()

    @cached_property
    def _direct(self) -> httpx.AsyncClient:
        """The client that uses no proxy."""
        with checked_settings():
            return httpx.AsyncClient(limits=LIMITS, mounts=_NO_PROXY)


# They take the place of the proxies that the environment names.
_NO_PROXY: Mapping[str, None] = {"all://": None, "http://": None, "https://": None}


def _is_direct(url: str) -> bool:
    """Return whether `url` leads to this machine, which is reached without a proxy."""
    return is_loopback(httpx.URL(url).raw_host.decode("ascii"))


@contextmanager
def _checked_host() -> Iterator[None]:
    """Raise httpx.InvalidURL for a host that is not a name: httpx decodes some on the way."""
    try:
        yield
    except UnicodeError as error:
        raise httpx.InvalidURL(f"its host is not a valid name ({error})") from None


def _build(
    client: httpx.Client | httpx.AsyncClient,
    request: HttpRequest,
    connect: float | None,
    read: float | None,
    write: float | None,
) -> httpx.Request:
    timeouts = {"connect": connect, "read": read, "write": write, "pool": None}
    built = client.build_request(
        request.method,
        request.url,
        headers=with_defaults(request.headers),
        content=request.content,
        extensions={"timeout": timeouts},
    )
    built.url = _OurUrl(built.url)
    return built


class _OurUrl(httpx.URL):
    """An address of this library, in a record that httpx logs."""


def _mask_our_urls(record: logging.LogRecord) -> bool:
    """Mask the secrets of our addresses in what httpx logs of each request."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            masked_url(str(arg)) if isinstance(arg, _OurUrl) else arg for arg in record.args
        )
    return True


logging.getLogger("httpx").addFilter(_mask_our_urls)


def with_defaults(headers: Mapping[str, str], more: Mapping[str, str] = _NONE) -> dict[str, str]:
    """Return `headers` over `more` and the headers that every request has."""
    given = {name.lower() for name in headers}
    added = {k: v for k, v in (*more.items(), *_DEFAULTS.items()) if k not in given}
    return added | dict(headers)


def as_ritellm_error(error: Exception, call: Call) -> RitellmError:
    """Return this library's error for one of FAILURES.

    Its text names the address but not the request, which contains the key.
    """
    if isinstance(error, KnownFailure):
        return error.error
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return call.timed_out("total" if _total_is_over(call) else "connect")
    if isinstance(error, httpx.WriteTimeout):
        return Timeout("the request could not be sent in time", code="write_timeout")
    if isinstance(error, httpx.ReadTimeout):
        name = call.deadline[1] if call.deadline else "first_chunk"
        return call.timed_out(name)
    where = masked_url(call.current.endpoint.base_url)
    if reason := shortage(error):
        return APIConnectionError(f"cannot connect to {where}: {reason}")
    if isinstance(error, httpx.ConnectError):
        return APIConnectionError(f"cannot connect to {where}: {error or 'refused'}")
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError)):
        return APIConnectionError(f"invalid address {where}: {error}", retryable=False)
    return APIConnectionError(f"the connection to {where} broke: {error or type(error).__name__}")


def _total_is_over(call: Call) -> bool:
    total = call.plan.timeouts.total
    return total is not None and time.monotonic() >= call.timing.started + total


# What httpx raises when the network fails; InvalidURL is outside its tree, and so are the errors
# of a host name that cannot be encoded.
FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError)


class KnownFailure(httpx.TransportError):
    """A failure whose `error` is certain already: a limit, or the end of a recording."""

    def __init__(self, error: RitellmError) -> None:
        super().__init__(error.message)
        self.error = error


class _Limit(float):
    """A timeout whose remaining seconds `_Connection` queries at each step, by calling `left`.

    httpx takes one number per request and restarts it with every byte, comments included. It passes
    this object on unchanged. A transport of the caller's own sees a plain number of seconds.
    """

    left: Callable[[], float | None]

    def __new__(cls, seconds: float, left: Callable[[], float | None]) -> _Limit:
        limit = super().__new__(cls, seconds)
        limit.left = left
        return limit


def _connect_limit(deadlines: Deadlines) -> _Limit | None:
    """Return a limit that covers TCP and TLS together."""
    now = time.monotonic()
    ends = deadlines.connect_by(now)
    if ends is None:
        return None
    return _Limit(ends - now, lambda: ends - time.monotonic())


def _read_limit(deadlines: Deadlines) -> _Limit | None:
    longest = deadlines.longest_read
    return None if longest is None else _Limit(longest, deadlines.left_to_read)


def _left(timeout: float | None, expired: type[Exception]) -> float | None:
    """Return the seconds that remain of `timeout`; raises `expired` if none do."""
    left = timeout.left() if isinstance(timeout, _Limit) else timeout
    if left is not None and left <= 0:
        raise expired("no time left")
    return left


def _new_client(
    transport: httpx.BaseTransport | None, mounts: Mapping[str, None] | None = None
) -> httpx.Client:
    """Return a client whose connections honour `_Limit`, or one on the caller's `transport`."""
    if transport is not None:
        return httpx.Client(transport=transport)
    with checked_settings():
        client = httpx.Client(limits=LIMITS, mounts=mounts)
    # httpcore takes a network backend, but httpx offers no way to pass one. If a later httpx
    # renames these attributes, a timeout is a plain number again, and pings count as progress.
    proxies = getattr(client, "_mounts", {}).values()
    for own in (getattr(client, "_transport", None), *proxies):
        pool: Any = getattr(own, "_pool", None)
        if hasattr(pool, "_network_backend"):
            pool._network_backend = _Backend(pool._network_backend)
    return client


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
        left = _left(timeout, httpcore.ConnectTimeout)
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
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Connection(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
