"""One connection of the asynchronous face, which serves one request after the other: extra `fast`.

Problem: a stream of a fast model brings thousands of small chunks, and hundreds of streams run at
once. asyncio's own streams cost an event, a handle and a buffer for each arrival.

Idea: the connection reads its socket itself when epoll reports it, parses at once, and wakes the
reader at most once per read. A response whose single pieces are not urgent has a `cadence`: the
connection then leaves epoll and lets the kernel gather what arrives, and reads at intervals
("collects"). If the reader wants only the end (`pour`), parsing too may wait for the next interval.

    idle --send()--> opening --headers--> reading --whole body--> ended --make_idle()--> idle
                        |                    |
                        +--- error, close ---+--> closed

    reading:  at once    epoll calls `readable`
              gathering  a timer of `Sockets` calls `collect`   (with a cadence, after the headers)
              paused     too much is unread; `arrival` resumes

Invariants:
- At most one reader waits (`_waiter`), and only while there is nothing to take.
- `_sink` is set only while `_waiter` is: that reader waits for the end of the body.
- Edge-triggered epoll reports new data once. So `readable` reads until the kernel has nothing left,
  or notes in `_unread` that it stopped before.
- Deferred bytes (`_unparsed`) never contain the end of a body, or the reader would miss it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import httpx

from ritellm.transports.deadlines import Cadence
from ritellm.transports.fast.epoll import NOT_NOW, READ_BYTES, Sockets
from ritellm.transports.fast.http11 import ResponseHead, ResponseParser

# The most bytes that wait for a reader. Then the kernel's buffers fill, and the server's. More
# would be slower: malloc maps and unmaps every block above 128 KiB.
_HIGH_WATER = READ_BYTES
# The end of a chunked body, unless there are trailers.
_LAST_CHUNK = b"0\r\n\r\n"


class Connection:
    """A socket and the response that arrives over it."""

    def __init__(self, sock: socket.socket, sockets: Sockets) -> None:
        # The socket.
        self.socket = sock
        self.closed = False
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._receive_into = sock.recv_into
        self._secure = isinstance(sock, ssl.SSLSocket)
        # Reuse.
        self.served = 0  # requests, the current one included
        self.idle_since = 0.0
        # The response.
        self._parser = ResponseParser()
        self._opening = False  # the reader waits for the headers
        self._error: Exception | None = None
        # The reader.
        self._waiter: asyncio.Future[bytes] | None = None
        self._sink: Callable[[bytes], bool] | None = None  # takes the pieces until the end
        # Back pressure.
        self._untaken = 0  # bytes that have arrived since the last `take`
        self._paused = False  # nothing is read until the reader has caught up
        self._unread = False  # the kernel had more when reading was paused
        # The request.
        self._unsent = memoryview(b"")
        self._is_writing = False  # the loop reports when the kernel takes more
        # The cadence.
        self._cadence: Cadence | None = None
        self._gathers = False  # the kernel gathers what arrives until `_due`
        self._due = self._parsed = 0.0  # the next and the last time of parsing, by the loop's clock
        self._end_is_visible = False  # the last bytes of a read show whether the body ends there
        self._unparsed: list[bytes] = []  # read since `_parsed`
        sockets.register(self)

    async def send(
        self, request: bytes, cadence: Cadence | None, release: Callable[[], object]
    ) -> Response:
        """Send `request` and return the response once its headers have arrived.

        With a `cadence` the body is read at intervals. Closing the response calls `release`.
        """
        parser = self._parser
        parser.expect()
        self.served += 1
        self._untaken = 0
        self._cadence = cadence
        self._unparsed.clear()
        self._unsent = memoryview(request)
        self._opening = True
        self._write()
        while not parser.begun:
            await self.arrival()
        body = Body(self, release)
        return Response(parser.status, parser.headers, body, self.served > 1)

    def take(self) -> bytes:
        """Return what has arrived of the body, or nothing."""
        parser = self._parser
        if not parser.pieces:
            return b""
        self._untaken = 0
        return parser.take()

    def arrival(self) -> asyncio.Future[bytes]:
        """Return the next bytes of the body once they arrive; nothing at its end.

        Call it when there is nothing to take. Raises the error that broke the connection.
        """
        waiter: asyncio.Future[bytes] = asyncio.Future(loop=self._loop)
        if self._error is not None:
            waiter.set_exception(self._error)
        elif self._parser.ended:
            waiter.set_result(b"")
        else:
            self._waiter = waiter
            if self._paused:
                self._resume()
        return waiter

    def pour(self, sink: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Pass the body to `sink` as it arrives; done at its end, or once `sink` returns True.

        Call it when there is nothing to take. Single pieces wake no task.
        """
        poured = self.arrival()
        if not poured.done():
            self._sink = sink
            encoding = self._parser.headers.get("transfer-encoding")
            self._end_is_visible = encoding == "chunked"
        return poured

    @property
    def exhausted(self) -> bool:
        """Whether the response has been read to its end."""
        return self._parser.ended and not self._parser.pieces

    @property
    def is_alive(self) -> bool:
        """Whether the connection is open: `readable` closes it when the server does."""
        return not self.closed

    def make_idle(self) -> bool:
        """Prepare for another request; return whether there may be one."""
        keeps = self._parser.keeps and self.exhausted
        if not keeps or self.closed or self._unsent:
            return False
        if self._gathers:
            self._gathers = False
            self._sockets.register(self)
        self._paused = False
        return True

    def close(self) -> None:
        """Close the connection at once."""
        if self.closed:
            return
        self.closed = True
        self._sockets.unregister(self)
        self._stop_writing()
        self.socket.close()

    # Reading: called by `Sockets`.

    def readable(self, hangup: bool = False) -> None:
        """Read until the kernel has nothing left, or the reader is too far behind."""
        receive_into, buffer = self._receive_into, self._sockets.buffer
        while not self._paused:
            try:
                size = receive_into(buffer)
            except NOT_NOW:
                break
            except OSError as error:
                self._lose(error)
                break
            if not size:
                self._lose(None)
                break
            self._receive(buffer[:size])
            if self.closed or (size < READ_BYTES and not self._secure and not hangup):
                break
        else:
            self._unread = True
        self._wake()

    def collect(self, due: float) -> None:
        """Read what the kernel has gathered, and let it gather again."""
        if self._gathers and due == self._due and not self.closed:
            self.readable()
            if self._unparsed and not self._may_defer():
                self._parse(b"")
                self._wake()
            self._gather()

    def _receive(self, data: memoryview) -> None:
        if self._parser.ended:
            self.close()  # the server sends without a request
            return
        self._untaken += len(data)
        if self._gathers and (self._unparsed or self._may_defer()):
            self._defer(bytes(data))
        else:
            self._parse(data)
        self._paused = self._untaken >= _HIGH_WATER and bool(self._parser.pieces)

    def _may_defer(self) -> bool:
        """Return whether parsing may wait for the next interval."""
        if self._sink is None or self._cadence is None or not self._end_is_visible:
            return False
        return (
            self._due < self._parsed + self._cadence.parse_delay() and self._untaken < _HIGH_WATER
        )

    def _defer(self, data: bytes) -> None:
        """Keep `data` for later, unless the end of the body may be in it."""
        self._unparsed.append(data)
        if len(data) < len(_LAST_CHUNK) or data.endswith(_LAST_CHUNK) or not self._may_defer():
            self._parse(b"")

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse what was deferred, and `data`."""
        parser, deferred = self._parser, self._unparsed
        if deferred:
            data = b"".join((*deferred, data))
            deferred.clear()
        self._parsed = self._due
        try:
            parser.feed(data)
        except httpx.RemoteProtocolError as error:
            self._error = error
            self.close()
            return
        if self._cadence is not None and not self._gathers and parser.pieces:
            self._gathers = True
            self._sockets.unregister(self)
            self._gather()

    def _gather(self) -> None:
        """Let the kernel gather what arrives until the next interval ends."""
        if self._cadence is not None and not self._parser.ended and not self.closed:
            now = self._loop.time()
            self._due = self._sockets.collect_later(self, now, self._cadence.pause(now))

    def _lose(self, error: OSError | None) -> None:
        """Take the end of the connection, which may also be the regular end of the body."""
        self.close()
        if self._unparsed:
            self._parse(b"")
        if self._error is None:
            try:
                self._parser.close(error)
            except httpx.RemoteProtocolError as broken:
                self._error = broken

    def _resume(self) -> None:
        self._paused = False
        if self._unread:  # epoll has reported this data and will not report it again
            self._unread = False
            self._loop.call_soon(self.readable)

    # The reader.

    def _wake(self) -> None:
        """Pass what has arrived to the reader; nothing, if it waits for the headers only."""
        waiter, parser = self._waiter, self._parser
        if waiter is None:
            return
        if waiter.done():  # cancelled
            self._waiter = self._sink = None
        elif self._sink is not None:
            self._pour(waiter, self._sink)
        elif self._opening and parser.begun:
            self._waiter, self._opening = None, False
            waiter.set_result(b"")
        elif parser.pieces or parser.ended:
            self._waiter = None
            waiter.set_result(self.take())
        elif self._error is not None:
            self._waiter = None
            waiter.set_exception(self._error)

    def _pour(self, waiter: asyncio.Future[bytes], sink: Callable[[bytes], bool]) -> None:
        parser = self._parser
        try:
            if (parser.pieces and sink(self.take())) or parser.ended:
                waiter.set_result(b"")
            elif self._error is not None:
                waiter.set_exception(self._error)
            elif self._paused:
                self._resume()
        except Exception as error:  # of the sink, so the reader gets it
            waiter.set_exception(error)
        if waiter.done():
            self._waiter = self._sink = None

    # Writing.

    def _write(self) -> None:
        """Send what the kernel takes, and the rest later. The response may come before that."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except NOT_NOW:
            if not self._is_writing:
                self._is_writing = True
                self._loop.add_writer(self.socket.fileno(), self._write)
            return
        except OSError:
            pass  # reading finds the reason, and what the server has sent before
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self.socket.fileno())


class Response(ResponseHead):
    """A response whose `aclose` releases the connection."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Return the connection to the pool, or close it if more is to come."""
        await self.stream.aclose()


class Body(httpx.AsyncByteStream):
    """The body of a response, as it arrives."""

    def __init__(self, connection: Connection, release: Callable[[], object]) -> None:
        self.take = connection.take
        self.arrival = connection.arrival
        self.pour = connection.pour
        self._connection = connection
        self._release: Callable[[], object] | None = release

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to take, and nothing more will arrive."""
        return self._connection.exhausted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := self.take() or await self.arrival():
            yield data

    async def aclose(self) -> None:
        """Return the connection to the pool if all was read, else close it."""
        if self._release is not None:
            self._release()
            self._release = None
