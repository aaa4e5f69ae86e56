"""HTTP/1.1 over asyncio, as streams want it: the extra `fast`.

llhttp (by httptools) parses; what it finds goes straight to the one who waits for it. Kept here
because each chunk passes through it (`benchmarks/client.py` has what that costs). Errors are
httpx's, so that nobody above needs to know who moved the bytes. No proxies and no HTTP/2: httpx
does those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

import httptools
import httpx

from ritellm.client_httpx import with_ours

# So many bytes may wait for a reader who is away; then the kernel's buffers fill, and the server's.
_HIGH_WATER = 256 * 1024


class Target(NamedTuple):
    """Where a request goes."""

    secure: bool
    host: str
    port: int
    path: bytes
    headers: dict[str, str]  # those that follow from the address


@lru_cache(maxsize=256)
def target_of(url: str) -> Target:
    """Return where `url` leads; raises httpx.InvalidURL or httpx.UnsupportedProtocol."""
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise httpx.UnsupportedProtocol("an address begins with http:// or https://")
    secure = parsed.scheme == "https"
    headers = {"host": parsed.netloc.decode("ascii")}
    if parsed.userinfo:
        auth = httpx.BasicAuth(parsed.username, parsed.password)
        request = next(auth.auth_flow(httpx.Request("POST", url)))
        headers["authorization"] = request.headers["authorization"]
    port = parsed.port or (443 if secure else 80)
    return Target(secure, parsed.host, port, parsed.raw_path, headers)


def request_bytes(method: str, target: Target, headers: Mapping[str, str], content: bytes) -> bytes:
    """Return the request as it goes over the wire; raises httpx.LocalProtocolError."""
    fields = with_ours(headers, target.headers)
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    if lines.count("\n") != len(fields) or lines.count("\r") != len(fields):
        raise httpx.LocalProtocolError("a header with a line break in it")
    try:
        head = lines.encode("ascii")
    except UnicodeEncodeError:
        raise httpx.LocalProtocolError("a header that is not ASCII") from None
    start = b"%b %b HTTP/1.1\r\n" % (method.encode(), target.path)
    return b"".join((start, head, b"content-length: %d\r\n\r\n" % len(content), content))


class Headers(dict[str, str]):
    """The headers of a response, by lower-case name; of several the values are joined."""

    __slots__ = ()

    def multi_items(self) -> list[tuple[str, str]]:
        """Return names and values."""
        return list(self.items())

    def add(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        self[key] = f"{self[key]}, {text}" if key in self else text


class Response:
    """The status and the headers of an answer, and a `stream` of the rest."""

    __slots__ = ("extensions", "headers", "status_code", "stream")

    def __init__(self, status_code: int, headers: Headers, stream: Body, reused: bool) -> None:
        self.status_code = status_code
        self.headers = headers
        self.stream: httpx.AsyncByteStream = stream
        self.extensions = {"gathers": stream.gathers, "ritellm.reused": reused}

    @property
    def is_success(self) -> bool:
        """Whether the request was accepted."""
        return 200 <= self.status_code < 300

    async def aclose(self) -> None:
        """Give the connection back, or close it if there is more to come."""
        await self.stream.aclose()


class Connection(asyncio.Protocol):
    """One connection, which serves one request after the other."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._headers = Headers()
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # what the parser calls most often: no frame for it
        self._waiting = 0  # bytes that have come since the last `read`
        self._paused = False
        self._begun = self.ended = False
        self._keeps = False  # the server will take another request
        self._error: Exception | None = None
        self.closed = False
        self.served = 0
        self.idle_since = 0.0

    async def ask(self, request: bytes, gather: bool, release: Callable[[], None]) -> Response:
        """Send `request` and return the response once its headers are here.

        With `gather`, what comes between two reads is left to the kernel. `release` is called
        when the response is closed.
        """
        self._parser = httptools.HttpResponseParser(self)
        self._headers = Headers()
        self._pieces.clear()
        self._waiting = 0
        self._begun = self.ended = self._keeps = False
        self.served += 1
        self.transport.write(request)
        while not self._begun:
            self._raise()
            await self._wait()
        body = Body(self, gather, release)
        return Response(self._parser.get_status_code(), self._headers, body, self.served > 1)

    async def read(self) -> bytes:
        """Return what has come of the body, as soon as something has; at its end nothing."""
        while not self._pieces:
            if self.ended:
                return b""
            self._raise()
            if self._paused:
                self._pause(False)
            await self._wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        return data

    def pause(self) -> None:
        """Leave what comes to the kernel until the next `read`."""
        if not self._paused and not self.ended:
            self._pause(True)

    @property
    def exhausted(self) -> bool:
        """Whether the response has been read to its end."""
        return self.ended and not self._pieces

    @property
    def reusable(self) -> bool:
        """Whether another request may follow the one that has been answered."""
        sent = not self.transport.get_write_buffer_size()  # an answer may come before all is asked
        return self._keeps and self.exhausted and sent and not self.transport.is_closing()

    def _pause(self, on: bool) -> None:
        self._paused = on
        if not self.closed:
            self.transport.pause_reading() if on else self.transport.resume_reading()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse `data`; the callbacks below keep what it holds."""
        if self._parser is None or self.ended:
            self.transport.abort()  # nobody has asked anything
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._error = httpx.RemoteProtocolError(f"not HTTP: {error}")
            self.transport.abort()
        self._waiting += len(data)
        if self._waiting > _HIGH_WATER:
            self.pause()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way: well, if it ends with the connection."""
        self.closed = True
        delimited = "content-length" in self._headers or "transfer-encoding" in self._headers
        if self._begun and not delimited and exc is None:
            self.ended = True
        elif not self.ended and self._error is None:
            what = str(exc) if exc else "the server closed it" + " half-way" * self._begun
            self._error = httpx.RemoteProtocolError(what)
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers.add(name, value)

    def on_headers_complete(self) -> None:
        """Note that the response has begun, unless it is an interim one (1xx)."""
        if self._parser.get_status_code() >= 200:
            self._begun = True

    def on_message_complete(self) -> None:
        """Note the end, but for that of an interim response."""
        if self._begun:
            self.ended = True
            self._keeps = self._parser.should_keep_alive()
        else:
            self._headers = Headers()


class Body(httpx.AsyncByteStream):
    """What follows the headers: pieces, as they come."""

    def __init__(self, connection: Connection, gathers: bool, release: Callable[[], None]) -> None:
        self._connection = connection
        self._release: Callable[[], None] | None = release
        self.gathers = gathers

    async def read(self) -> bytes:
        """Return the next piece, or nothing at the end."""
        data = await self._connection.read()
        if self.gathers:
            self._connection.pause()
        return data

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to read."""
        return self._connection.exhausted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """Give the connection back if all has been read, else close it."""
        if self._release is not None:
            self._release()
            self._release = None
