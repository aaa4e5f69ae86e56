"""A server that a test scripts byte by byte, for responses that no proper server sends."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from fake_server import chat_events

BODY = b"".join(chat_events("one two"))
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


def answer(text="one two", *headers: bytes) -> bytes:
    """Return a whole response that streams `text`."""
    body = b"".join(chat_events(text))
    lines = b"".join(line + b"\r\n" for line in headers)
    return SSE_HEAD + lines + b"content-length: %d\r\n\r\n%b" % (len(body), body)


class Peer:
    """The server's side of one connection."""

    def __init__(self, tcp: socket.socket) -> None:
        self.tcp = tcp
        self._unread = b""

    def request(self) -> bytes:
        """Read one request and return it; raises ConnectionError at the end."""
        head = self._until(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(self._unread) < length:
            self._more()
        body, self._unread = self._unread[:length], self._unread[length:]
        return head + body

    def head(self) -> bytes:
        """Read the head of a request, and leave its body unread."""
        return self._until(b"\r\n\r\n")

    def send(self, *pieces: bytes) -> None:
        """Send `pieces`."""
        for piece in pieces:
            self.tcp.sendall(piece)

    def reply(self, *pieces: bytes) -> None:
        """Read one request, then send `pieces`."""
        self.request()
        self.send(*pieces)

    def close(self) -> None:
        """Close the connection."""
        self.tcp.close()

    def reset(self) -> None:
        """Break the connection off."""
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tcp.close()

    def wait_for_the_end(self) -> bytes:
        """Read until the client closes; return what it sent."""
        seen, self._unread = self._unread, b""
        try:
            while piece := self.tcp.recv(65536):
                seen += piece
        except OSError:
            pass
        return seen

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._more()
        head, _, self._unread = self._unread.partition(mark)
        return head + mark

    def _more(self) -> None:
        data = self.tcp.recv(65536)
        if not data:
            raise ConnectionError("the client closed")
        self._unread += data


class RawServer:
    """Calls the next one of `scripts` for each connection, each in a thread of its own.

    The last script serves all further connections. A connection is closed when its script returns.
    """

    def __init__(self, *scripts: Callable[[Peer], object]) -> None:
        self._scripts = scripts
        self._threads: list[threading.Thread] = []
        self._peers: list[Peer] = []
        self.connections = 0
        self.errors: list[BaseException] = []

    def __enter__(self) -> RawServer:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for peer in self._peers:
            try:
                peer.tcp.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                tcp, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            peer = Peer(tcp)
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=[script, peer], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, script: Callable[[Peer], object], peer: Peer) -> None:
        try:
            script(peer)
        except OSError:
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            peer.tcp.close()
