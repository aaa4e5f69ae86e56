"""Watches a connection of httpx: whether a response has begun, and how its head looks."""

from __future__ import annotations

import re

import httpcore
import httpx

from ritellm.transports.failures import KnownFailure
from ritellm.wire import limits

_HTTP2 = b"PRI * HTTP/2"  # the beginning of each connection
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# Lines that end in LF alone, folded lines, several lengths: other software reads them differently.
_AMBIGUOUS = re.compile(
    rb"(?<!\r)\n|\n[ \t]|\ncontent-length:(?:[^\n]*,|.*\ncontent-length:)",
    re.DOTALL | re.IGNORECASE,
)


class Unanswered(httpx.RemoteProtocolError):
    """A connection that had served before ended without one byte of a response."""


class Watch:
    """What goes over one connection, request by request.

    HTTP/2 mixes the requests of a connection, so it is not read.
    """

    def __init__(self) -> None:
        self.is_plain = True  # the head of the response cannot be read in two ways
        self.is_http2 = False
        self._requests = 0
        self._received = 0  # bytes of the response
        self._head: bytearray | None = None  # of the response, until it is complete

    def sending(self, data: bytes) -> None:
        """Note that `data`, a part of a request, is sent."""
        if not self._requests:
            self.is_http2 = data.startswith(_HTTP2)
        if self._received or not self._requests:
            self._requests += 1
            self._received = 0
            self._head = bytearray()

    def received(self, data: bytes) -> bytes:
        """Return `data` after a look at it; raises Unanswered at a sudden end."""
        if not data and self._is_unanswered:
            raise Unanswered("the server closed it")
        self._received += len(data)
        if self._head is not None and not self.is_http2:
            self._read_head(self._head, data)
        return data

    def failure(self, error: httpcore.ReadError) -> Exception:
        """Return what to raise for `error`."""
        return Unanswered(str(error)) if self._is_unanswered else error

    @property
    def _is_unanswered(self) -> bool:
        return self._requests > 1 and not self._received and not self.is_http2

    def _read_head(self, head: bytearray, data: bytes) -> None:
        start = max(0, len(head) - 2)
        head += data
        while found := _END_OF_HEAD.search(head, start):
            if _AMBIGUOUS.search(head, 0, found.end()):
                self.is_plain = False
            if not _INTERIM.match(head):
                self._head = None
                return
            del head[: found.end()]
            start = 0
        if len(head) > limits.MAX_HEAD_BYTES:
            raise KnownFailure(limits.exceeded("the head", limits.MAX_HEAD_BYTES))
