"""Serves a live page to the user of this machine, over HTTP on loopback.

Only a person who knows the token in its address may read it. Each job draws one at random. All
other addresses are 404. Other pages in the user's browser cannot read it: the `Host` must be this
server's own (a name that a stranger resolves to 127.0.0.1 is refused), and no header allows other
origins.

What it costs the job: nothing waits for a viewer. Each has a thread, which writes what the feed has
made; one that does not read for `_PATIENCE` seconds is dropped.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.errors import UsageError
from pipelines.pages.page import page
from pipelines.watch.feed import Feed, Viewer

_HOST = "127.0.0.1"
# The most connections at once; a browser takes two for each page.
_MOST_CONNECTIONS = 32
_PATIENCE = 10.0
# Seconds after which a viewer without news gets an empty line, by which a dead one is noticed.
_PING = 5.0
# The most seconds that the end of a job waits for its viewers to get the last events.
_GOODBYE = 1.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server:
    """Serves the page of `feed` at `url` until its `with` block ends; `port` 0 is any free one.

    `whole` returns a page that is served instead, once it returns one. Raises UsageError if the
    port is taken.
    """

    def __init__(
        self, feed: Feed, port: int = 0, whole: Callable[[], bytes | None] = lambda: None
    ) -> None:
        self._feed = feed
        self._whole = whole
        self.token = secrets.token_urlsafe(24)
        try:
            self._http = _Http(self, port)
        except OSError as error:
            raise UsageError(
                f"--watch cannot listen on port {port} of {_HOST}: {error.strerror}; choose another"
                " port, or leave it out"
            ) from None
        self.port = self._http.server_address[1]
        self.url = f"http://{_HOST}:{self.port}/{self.token}/"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.1,), name="watch-server", daemon=True
        )

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.wait_until_left(_GOODBYE)
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def is_own(self, host: str | None) -> bool:
        """Return whether a `Host` header names this server."""
        return host in (f"{_HOST}:{self.port}", f"localhost:{self.port}")

    def name_of(self, path: str) -> str | None:
        """Return the file that `path` names behind the token, None without the token."""
        token, slash, name = path.removeprefix("/").partition("/")
        is_known = hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())
        return name if is_known and slash and path.startswith("/") else None

    def document(self) -> bytes:
        """Return the page as it is now."""
        return self._whole() or page(self._feed.data(), connect=True)

    def follow(self, handler: _Handler) -> None:
        """Send events to a viewer until it leaves or the job ends."""
        self._feed.joined(1)
        viewer = Viewer()
        try:
            while (events := self._feed.next(viewer, _PING)) is not None:
                handler.wfile.write(events or b": \n\n")
        finally:
            self._feed.joined(-1)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False

    def __init__(self, server: Server, port: int) -> None:
        self.watch = server
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__((_HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a viewer has left, or is no browser."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server_version, sys_version = "ritellm", ""

    def do_GET(self) -> None:
        watch = self.server.watch
        name = watch.name_of(self.path) if watch.is_own(self.headers.get("Host")) else None
        if name == "":
            self._send(watch.document())
        elif name == "events":
            self._head("text/event-stream", None)
            with suppress(OSError):
                watch.follow(self)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, body: bytes) -> None:
        self._head("text/html; charset=utf-8", len(body))
        self.wfile.write(body)

    def _head(self, kind: str, length: int | None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")  # an idle connection would keep a thread
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with suppress(OSError):  # a slow viewer: what waits in the system stays small
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the path has the token."""
