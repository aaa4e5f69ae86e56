"""A server for the conformance tests: the door for readers, before a small writer in memory.

The writer has what the tests need to fill streams: PUT, POST and DELETE. All reads are answered by
the door, from the pieces of its hub. The messages are those that the tests wrote, instead of the
messages of an answer. Prints its address, and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from pipelines.serve_deltas.access import Access
from pipelines.serve_deltas.app import Bounds, Door
from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.position import Position
from pipelines.serve_deltas.server import Server, listen

PREFIX = "/v1/stream/"
BOUNDS = Bounds(wait_seconds=0.05, poll_seconds=2)


class Written:
    """One stream, as it was written."""

    def __init__(self, order, media_type):
        self.order, self.media_type, self.pieces = order, media_type, []

    @property
    def is_closed(self):
        return self.pieces[-1].final

    @property
    def end(self):
        return str(Position(self.order, 1, len(self.pieces)))

    def append(self, message, final=False):
        self.pieces.append(Piece((self.order, 1), len(self.pieces), "", message, final))
        return self.pieces[-1]


class MemoryStore:
    """Feeds the streams that were written in this process."""

    def __init__(self):
        self.streams, self._open, self._orders = {}, set(), 0

    async def start(self, feed, lost):
        self._feed, self._lost = feed, lost

    async def open(self, id):
        self._open.add(id)
        if id in self.streams:
            self._feed(id, self.streams[id].pieces)

    def close(self, id):
        self._open.discard(id)

    async def stop(self, id):
        """No worker."""

    async def aclose(self):
        """Nothing to close."""

    def create(self, id, media_type):
        self._orders += 1
        self.streams[id] = Written(self._orders, media_type)
        self.append(id, b"")
        return self.streams[id]

    def append(self, id, message, final=False):
        piece = self.streams[id].append(message, final)
        if id in self._open:
            self._feed(id, [piece])

    def remove(self, id):
        del self.streams[id]
        self._lost(id)


class WrittenMessages:
    """The messages that were written, in the content type that the stream was created with."""

    def __init__(self, media_type):
        self.media_type = media_type

    def of(self, news):
        return [piece.chunk for piece in news.pieces if piece.chunk]

    def joined(self, messages):
        is_json = self.media_type.lower().startswith("application/json")
        return b"[" + b",".join(messages) + b"]" if is_json else b"".join(messages)


class WritableDoor(Door):
    """The door, and a writer beside it."""

    def __init__(self):
        self.memory = MemoryStore()
        super().__init__(self.memory, Access(origins=("*",)), BOUNDS)
        self.messages_of = lambda id: WrittenMessages(self._media_type(id))

    def _media_type(self, id):
        stream = self.memory.streams.get(id)
        return stream.media_type if stream else "application/octet-stream"

    @property
    def app(self):
        reading = super().app

        async def app(scope, receive, send):
            if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
                await reading(_renamed(scope), receive, send)
            else:
                request = Request(scope, receive)
                response = self._write(request, await request.body())
                response.headers["X-Content-Type-Options"] = "nosniff"
                await response(scope, receive, send)

        return app

    def _write(self, request, body):
        id = request.url.path.removeprefix(PREFIX)
        stream = self.memory.streams.get(id)
        if request.method == "PUT":
            return self._create(request, id, stream, body)
        if stream is None:
            return Response(status_code=404)
        if request.method == "DELETE":
            self.memory.remove(id)
            return Response(status_code=204)
        return self._append(request, id, stream, body)

    def _create(self, request, id, stream, body):
        media_type = request.headers.get("content-type") or "application/octet-stream"
        closes = _closes(request)
        if stream is not None:
            same = (stream.media_type.lower(), stream.is_closed) == (media_type.lower(), closes)
            return Response(status_code=200 if same else 409, headers=_headers(stream))
        messages = _messages(media_type, body)
        if messages is None:
            return Response(status_code=400)
        stream = self.memory.create(id, media_type)
        self._add(id, messages, closes)
        location = str(request.url)
        return Response(status_code=201, headers={**_headers(stream), "Location": location})

    def _append(self, request, id, stream, body):
        media_type = request.headers.get("content-type", "")
        closes = _closes(request)
        if stream.is_closed:
            status = 204 if closes and not body else 409
            return Response(status_code=status, headers=_headers(stream))
        if body and media_type.lower() != stream.media_type.lower():
            return Response(status_code=409 if media_type else 400)
        messages = _messages(stream.media_type, body)
        if messages is None or not (messages or closes):
            return Response(status_code=400)
        self._add(id, messages, closes)
        return Response(status_code=204, headers=_headers(stream))

    def _add(self, id, messages, closes):
        for number, message in enumerate(messages, 1):
            self.memory.append(id, message, final=closes and number == len(messages))
        if closes and not messages:
            self.memory.append(id, b"", final=True)


def _renamed(scope):
    """Return the request as it is for the door."""
    id = scope["path"].removeprefix(PREFIX)
    query = scope["query_string"]
    return {
        **scope,
        "raw_path": f"/streams/{quote(id, safe='')}".encode(),
        "query_string": b"as=durable" + (b"&" + query if query else b""),
    }


def _closes(request):
    return request.headers.get("stream-closed", "").lower() == "true"


def _headers(stream):
    headers = {"Stream-Next-Offset": stream.end, "Content-Type": stream.media_type}
    return {**headers, **({"Stream-Closed": "true"} if stream.is_closed else {})}


def _messages(media_type, body):
    """Return the messages in the body of a write, None if they are no JSON."""
    if not media_type.lower().startswith("application/json"):
        return [body] if body else []
    try:
        value = orjson.loads(body) if body else []
    except orjson.JSONDecodeError:
        return None
    return [orjson.dumps(one) for one in (value if isinstance(value, list) else [value])]


async def main():
    """Serve on a free port until standard input is closed."""
    with listen("127.0.0.1", 0) as listener:
        server = Server(WritableDoor(), listener)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asyncio.get_running_loop().run_in_executor(None, lambda: (sys.stdin.read(), server.stop()))
        await server.serve_until_stopped(lambda: print(address, flush=True))


if __name__ == "__main__":
    asyncio.run(main())
