"""Sends requests with httpx.

httpx is used without the extra `fast`, behind a proxy, and with the caller's own `transport=`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.request import getproxies

import httpx

from ritellm.errors import InvalidRequestError
from ritellm.masking import masked_url
from ritellm.transports.deadlines import Deadlines
from ritellm.transports.failures import KnownFailure
from ritellm.transports.httpx_network import connect_limit, install, read_limit
from ritellm.transports.httpx_pool import PoolLock, make_collectable
from ritellm.transports.httpx_reuse import Reuse
from ritellm.transports.httpx_watch import Unanswered
from ritellm.transports.settings import check_proxies, is_loopback, trust
from ritellm.transports.sockets import IDLE_SECONDS
from ritellm.types import HttpRequest

C = TypeVar("C", httpx.Client, httpx.AsyncClient)

LIMITS = httpx.Limits(
    max_connections=None, max_keepalive_connections=None, keepalive_expiry=IDLE_SECONDS
)
# Proxies do not buffer a response that is not compressed.
_DEFAULTS = {"accept-encoding": "identity", "user-agent": "ritellm"}
_NONE: Mapping[str, str] = {}
# The most kept connections that one request may find closed.
_MOST_STALE = 10


class HttpxTransport:
    """httpx, on its own transport or on the caller's."""

    def __init__(self, transport: httpx.BaseTransport | None) -> None:
        has_proxies = transport is None and bool(getproxies())
        self._locks: list[PoolLock] = []
        new_client = partial(_new_client, self._locks)
        self._direct = new_client(transport)
        self._client = _or_fault(new_client) if has_proxies else self._direct
        self._reuse = Reuse()

    def send(self, request: HttpRequest, deadlines: Deadlines) -> httpx.Response:
        """Return the response once its headers have arrived; raises one of FAILURES."""
        connect, read = connect_limit(deadlines), read_limit(deadlines)
        with _httpx_errors():
            client = _client_for(request.url, self._client, self._direct)
            built = _build(client, request, connect, read, deadlines.write)
            response = _answered(client, built)
        make_collectable(response)
        if response.status_code < 200:
            response.close()
            raise _unrequested_upgrade()
        self._reuse.note(response)
        return response

    def when_free(self, action: Callable[[], object]) -> None:
        """Run `action`, at once unless the current thread is at work on a pool."""
        held = next((lock for lock in self._locks if lock.is_mine), None)
        held.put_off(action) if held else action()

    def close(self) -> None:
        """Close all connections."""
        self._direct.close()
        if isinstance(self._client, httpx.Client):
            self._client.close()


def _options(transport: object | None) -> dict[str, Any]:
    """Return what the clients of both faces have in common."""
    verify = trust() if transport is None else True
    return {"limits": LIMITS, "cookies": _no_cookies(), "verify": verify}


def _new_client(
    locks: list[PoolLock], transport: httpx.BaseTransport | None = None, *, by_proxy: bool = False
) -> httpx.Client:
    """Return a client with watched connections, on the caller's `transport` if that is given.

    The locks of its pools are added to `locks`.
    """
    client = httpx.Client(transport=transport, trust_env=by_proxy, **_options(transport))
    locks += install(client)
    return client


def _answered(client: httpx.Client, built: httpx.Request) -> httpx.Response:
    """Return the response; kept connections that the server has closed are replaced."""
    for _ in range(_MOST_STALE):
        with suppress(Unanswered):
            return client.send(built, stream=True)
    return client.send(built, stream=True)


class AsyncHttpxTransport:
    """httpx for the asynchronous face."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        has_proxies = transport is None and bool(getproxies())
        self._direct = _new_async_client(transport)
        self._client = _or_fault(_new_async_client) if has_proxies else self._direct
        self._reuse = Reuse()

    async def send(self, request: HttpRequest, deadlines: Deadlines) -> httpx.Response:
        """Return the response once its headers have arrived; raises one of FAILURES."""
        connect, read = deadlines.connect, deadlines.longest_read
        with _httpx_errors():
            client = _client_for(request.url, self._client, self._direct)
            built = _build(client, request, connect, read, deadlines.write)
            response = await _aanswered(client, built)
        if response.status_code < 200:
            await response.aclose()
            raise _unrequested_upgrade()
        self._reuse.note(response)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        if isinstance(self._client, httpx.AsyncClient):
            await self._client.aclose()


def _new_async_client(
    transport: httpx.AsyncBaseTransport | None = None, *, by_proxy: bool = False
) -> httpx.AsyncClient:
    """Return a client with watched connections, on the caller's `transport` if that is given."""
    client = httpx.AsyncClient(transport=transport, trust_env=by_proxy, **_options(transport))
    install(client)
    return client


async def _aanswered(client: httpx.AsyncClient, built: httpx.Request) -> httpx.Response:
    """Return the response; kept connections that the server has closed are replaced."""
    for _ in range(_MOST_STALE):
        with suppress(Unanswered):
            return await client.send(built, stream=True)
    return await client.send(built, stream=True)


def _no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: the next call may be another user's."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _unrequested_upgrade() -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError("the server switches to a protocol that was not requested")


def _or_fault(new_client: Callable[..., C]) -> C | InvalidRequestError:
    """Return a client that uses the proxies of the environment, or what is wrong with them.

    Servers of this machine can be reached in spite of wrong proxies.
    """
    try:
        check_proxies()
        return new_client(by_proxy=True)
    except InvalidRequestError as fault:
        return fault


def _client_for(url: str, client: C | InvalidRequestError, direct: C) -> C:
    """Return the client for `url`: servers of this machine are reached without a proxy."""
    if client is direct or is_loopback(httpx.URL(url).raw_host.decode("ascii")):
        return direct
    if isinstance(client, InvalidRequestError):
        raise KnownFailure(InvalidRequestError(client.message))
    return client


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raise an error of httpx for what its code lets through.

    It decodes some hosts on the way. And it imports modules at the first request, for which there
    may be no descriptor.
    """
    try:
        yield
    except UnicodeError as error:
        raise httpx.InvalidURL(f"its host is not a valid name ({error})") from None
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error


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
