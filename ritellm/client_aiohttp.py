"""aiohttp under httpx, for the asynchronous face: the extra `fast`.

httpx's own transport parses HTTP in Python, and its pool looks at every connection for every
request; aiohttp does neither. Kept here rather than taken from a package because errors must keep
their kind: a connection that breaks is no timeout.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import getproxies

import aiohttp
import httpx

_KEEPALIVE_SECONDS = 30.0


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Moves the bytes with aiohttp. Timeouts are the face's, but for connecting."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._trusted: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response once its headers are here."""
        timeouts = request.extensions.get("timeout", {})
        gather = request.extensions.get("gather", False)
        noted = {"reused": False}
        with _as_httpx_errors():
            response = await self._open().request(
                request.method,
                str(request.url),
                headers=request.headers,
                data=request.content,
                allow_redirects=False,
                trace_request_ctx=noted,
                ssl=self._trust() if request.url.scheme == "https" else True,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.get("connect")),
            )
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response, gather),
            extensions={"gathers": gather, "ritellm.reused": noted["reused"]},
            request=request,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Return the session; it belongs to the loop that first asks for it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # the cap on streams is the caller's; aiohttp's own would be 100
                    keepalive_timeout=_KEEPALIVE_SECONDS,
                ),
                auto_decompress=False,  # httpx does that
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Content-Type"),
                # Looking for a proxy costs two trips to a thread for every request.
                trust_env=bool(getproxies()),
                trace_configs=[_noting()],
            )
        return self._session

    def _trust(self) -> ssl.SSLContext:
        """Return the context that httpx would use, so that both transports trust the same."""
        if self._trusted is None:  # loading the certificates takes 25 ms
            self._trusted = httpx.create_ssl_context()
        return self._trusted


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, gather: bool) -> None:
        self._response = response
        self._gather = gather

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        with _as_httpx_errors():
            try:
                while data := await content.readany():
                    self._let_read(False)
                    yield data
                    self._let_read(True)
            except aiohttp.ClientError:
                # aiohttp forgets what had arrived before the connection broke; it was paid for.
                if rest := b"".join(getattr(content, "_buffer", ())):
                    yield rest[getattr(content, "_buffer_offset", 0) :]
                raise

    def _let_read(self, on: bool) -> None:
        """Leave what comes to the kernel while the reader is away, or take it again."""
        connection = self._response.connection if self._gather else None
        if connection is not None and connection.transport is not None:
            if on:
                connection.transport.resume_reading()
            else:
                connection.transport.pause_reading()

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _noting() -> aiohttp.TraceConfig:
    """Return what notes, for each request, whether its connection was there already."""

    async def note(session: aiohttp.ClientSession, context: Any, params: Any) -> None:
        context.trace_request_ctx["reused"] = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from error
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except aiohttp.ClientError as error:
        raise httpx.RemoteProtocolError(str(error) or type(error).__name__) from error
    except ValueError as error:  # a password in the address beside a key
        raise httpx.UnsupportedProtocol(str(error)) from error
