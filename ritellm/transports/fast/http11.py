"""Turns requests into bytes and bytes into responses, as HTTP/1.1 has them: extra `fast`.

llhttp (through httptools) parses. The errors are httpx's, so both transports raise the same ones.
Proxies and HTTP/2 are left to httpx.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import httptools
import httpx

from ritellm.errors import InvalidRequestError
from ritellm.transports.failures import KnownFailure
from ritellm.transports.httpx import with_defaults
from ritellm.transports.refusals import MOST_REFUSALS, is_refusal
from ritellm.transports.settings import trust
from ritellm.wire import limits


class Origin(NamedTuple):
    """Where a connection leads; requests to the same origin can share one."""

    secure: bool
    host: str
    port: int


class Target(NamedTuple):
    """Where a request goes."""

    origin: Origin
    path: bytes
    headers: dict[str, str]  # those that follow from the address


@lru_cache(maxsize=256)
def target_of(url: str) -> Target:
    """Return the target of `url`; raises httpx.InvalidURL or httpx.UnsupportedProtocol."""
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise httpx.UnsupportedProtocol("the address must start with http:// or https://")
    secure = parsed.scheme == "https"
    headers = {"host": parsed.netloc.decode("ascii")}
    port = parsed.port or (443 if secure else 80)
    # `parsed.host` decodes a name like xn--fa-hia.example, and encoding it again may give another.
    host = parsed.raw_host.decode("ascii")
    return Target(Origin(secure, host, port), parsed.raw_path, headers)


def request_bytes(method: str, target: Target, headers: Mapping[str, str], content: bytes) -> bytes:
    """Return the request as bytes; raises httpx.LocalProtocolError."""
    fields = with_defaults(headers, target.headers)
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    if lines.count("\n") != len(fields) or lines.count("\r") != len(fields):
        raise httpx.LocalProtocolError("a header must not contain a line break")
    try:
        head = lines.encode("ascii")
    except UnicodeEncodeError:
        raise httpx.LocalProtocolError("a header must be ASCII") from None
    start = b"%b %b HTTP/1.1\r\n" % (method.encode(), target.path)
    return b"".join((start, head, b"content-length: %d\r\n\r\n" % len(content), content))


class Headers(dict[str, str]):
    """The headers of a response by lower-case name; repeated ones are joined by commas."""

    __slots__ = ()

    def multi_items(self) -> list[tuple[str, str]]:
        """Return names and values."""
        return list(self.items())

    def add(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        self[key] = f"{self[key]}, {text}" if key in self else text


class ResponseHead:
    """The status and the headers of a response, and the `stream` of its body."""

    __slots__ = ("extensions", "headers", "status_code", "stream")

    def __init__(self, status_code: int, headers: Headers, stream: Any, reused: bool) -> None:
        self.status_code = status_code
        self.headers = headers
        self.stream = stream
        self.extensions = {"ritellm.reused": reused}

    @property
    def is_success(self) -> bool:
        """Whether the request was accepted."""
        return 200 <= self.status_code < 300


class ResponseParser:
    """Parses the responses that arrive over one connection, one after the other.

        expect() --> headers --> begun --> pieces... --> ended --> expect()

    httptools calls the methods named `on_...` from within `feed`. llhttp refuses ambiguous heads:
    two lengths, a length besides chunks, folded lines, lines that end in LF alone. Bytes after the
    end of a response are discarded, and end the use of the connection.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []  # of the body, not taken yet
        self._size = 0  # the number of pieces at the end of the body
        self._overhead = 0  # bytes since the last piece was taken that brought none
        self._refusals = 0  # in a row
        # The parser calls this most often, so it is a C function rather than a method.
        self.on_body = self.pieces.append
        self.expect()
        self.ended = True  # no request has been sent

    def expect(self) -> None:
        """Prepare for the next response."""
        self.status = 0  # once it has begun
        self.headers = Headers()
        self.begun = False  # the headers are complete
        self.ended = False  # the body is complete
        self.keeps = False  # the server accepts another request over this connection
        self._overhead = 0
        self.pieces.clear()
        self._parser = httptools.HttpResponseParser(self)

    def take(self) -> bytes:
        """Return what has arrived of the body since the last time."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._overhead = 0
        return data

    @property
    def untouched(self) -> bool:
        """Whether not one byte of the response has arrived."""
        return not (self.begun or self._overhead)

    def feed(self, data: bytes | memoryview) -> None:
        """Parse `data`; raises httpx.RemoteProtocolError."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.ended:
                self._overhead += len(data)
                raise httpx.RemoteProtocolError(f"not HTTP: {error}") from None
            self.keeps = False
        if self.ended:
            del self.pieces[self._size :]  # what follows the end belongs to no request
        elif not self.pieces:
            self._overhead += len(data)
            if self._overhead > limits.MAX_HEAD_BYTES:
                what = "the trailers and extensions" if self.begun else "the head"
                raise KnownFailure(limits.exceeded(what, limits.MAX_HEAD_BYTES))

    def close(self, error: Exception | None) -> None:
        """Note that the connection has ended; raises if the response is not complete."""
        if self.ended:
            return
        delimited = "content-length" in self.headers or "transfer-encoding" in self.headers
        if not self.begun or delimited or error is not None:
            what = str(error) if error else "the server closed it" + " half-way" * self.begun
            raise httpx.RemoteProtocolError(what)
        self.ended = True

    # Called by httptools.

    def on_message_begin(self) -> None:
        """Note that a response begins. A second response to one request is an error."""
        if self.ended:
            self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if not self.begun:
            self.headers.add(name, value)

    def on_headers_complete(self) -> None:
        """Note that the response has begun, unless it is an interim one (1xx)."""
        status = self._parser.get_status_code()
        if status >= 200 and not self.begun:
            self.status = status
            self.begun = True

    def on_message_complete(self) -> None:
        """Note the end, except the end of an interim response (1xx)."""
        if not self.begun:
            self.headers = Headers()
        elif not self.ended:
            self.ended = True
            self._size = len(self.pieces)
            self._refusals = self._refusals + 1 if is_refusal(self.status) else 0
            self.keeps = self._parser.should_keep_alive() and self._refusals < MOST_REFUSALS
            if self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
                self.keeps = False


def trusted() -> ssl.SSLContext:
    """Return the TLS context of all transports; raises one of FAILURES if its setting is wrong."""
    try:
        return trust()
    except InvalidRequestError as error:
        raise KnownFailure(error) from None
