"""Answers one request of the protocol, over ASGI.

The stream of an answer that has not begun is waited for as in the other forms, except by HEAD. A
position that another server has given, and which this one has not read yet, is waited for too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.responses import Response

from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.connection import connection_of
from pipelines.serve_deltas.durable.events import LiveEvents
from pipelines.serve_deltas.durable.headers import next_cursor, page_headers
from pipelines.serve_deltas.durable.messages import Messages
from pipelines.serve_deltas.durable.page import Page, page
from pipelines.serve_deltas.durable.request import Asked, Live
from pipelines.serve_deltas.following import Reader, Receive, Send
from pipelines.serve_deltas.host import Host, begun
from pipelines.serve_deltas.hub import Channel

# A browser may keep a page of a stream, and asks each time whether it still holds.
_CHECKED = "private, no-cache"


class DurableHead:
    """The response to HEAD: the end of the stream, and whether it is closed."""

    def __init__(self, host: Host, id: str, messages: Messages) -> None:
        self._host, self._id, self._messages = host, id, messages

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        async with self._host.hub.channel(self._id) as channel:
            if not channel.text.has_begun:
                raise Refused(404, "no delta of this id has come")
            _check(channel)
            found = page(channel.text, channel.text.tail, self._messages)
        headers = {**self._host.headers, **page_headers(found)}
        del headers["Stream-Up-To-Date"]
        headers["Content-Type"] = self._messages.media_type
        response = Response(headers=headers)
        del response.headers["content-length"]  # that of the body of GET, which is not known
        await response(scope, receive, send)


class DurableRead:
    """The response to GET."""

    def __init__(self, host: Host, id: str, messages: Messages, asked: Asked) -> None:
        self._host, self._id, self._messages, self._asked = host, id, messages, asked

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        async with self._host.hub.channel(self._id) as channel:
            self._host.admit(channel)
            had_begun = channel.text.has_begun
            await self._host.wait_for(channel)
            if not channel.text.has_begun:
                raise Refused(503, "the server is closing; send the request again")
            _check(channel)
            skips = self._asked.from_now and had_begun
            position = channel.text.tail if skips else self._asked.position
            events = LiveEvents(self._messages, self._asked.cursor, time.time)
            reader = Reader(channel, events, position, connection_of(scope))
            if self._asked.live is Live.SSE:
                await self._follow(reader, events, send)
                return
            async with self._host.readers.joined(reader):
                await self._host.readers.let_catch_up(reader)
                response = self._response(await self._found(reader))
                await response(scope, receive, send)

    async def _found(self, reader: Reader) -> Page:
        """Return what the reader lacks; if it is a long poll, once there is any."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._host.poll_seconds
        while True:
            found = page(reader.channel.text, reader.position, self._messages)
            left = until - loop.time()
            has_news = bool(found.messages) or found.is_closed or reader.has_left
            if has_news or self._asked.live is Live.NO or left <= 0 or self._host.hub.is_closing:
                return found
            _check(reader.channel)
            try:
                await asyncio.wait_for(reader.channel.changed(), left)
            except asyncio.TimeoutError:
                continue

    def _response(self, found: Page) -> Response:
        headers = {**self._host.headers, **page_headers(found)}
        if self._asked.live is Live.LONG_POLL:
            headers["Stream-Cursor"] = next_cursor(self._asked.cursor, time.time())
            if not found.messages:
                return Response(status_code=204, headers=headers)
        if not self._asked.from_now:
            headers["ETag"], headers["Cache-Control"] = found.tag, _CHECKED
            if self._asked.known == found.tag and self._asked.live is Live.NO:
                return Response(status_code=304, headers=headers)
        headers["Content-Type"] = self._messages.media_type
        return Response(self._messages.joined(found.messages), headers=headers)

    async def _follow(self, reader: Reader, events: LiveEvents, send: Send) -> None:
        """Send events until the stream is closed or the reader leaves."""
        await send(begun(self._host, events.media_type, events.headers))
        tail = reader.channel.text.tail
        if tail is not None and reader.position == tail:
            first = events.control(tail, is_closed=reader.at_end)
            await send({"type": "http.response.body", "body": first, "more_body": True})
        if await self._host.readers.follow(reader):
            await send({"type": "http.response.body", "body": b""})


def _check(channel: Channel) -> None:
    """Raise Refused unless the stream can be read from its beginning."""
    if channel.text.is_beheaded:
        raise Refused(410, "the beginning of the answer has been trimmed")
    if channel.is_lost:
        raise Refused(410, "the stream of the answer has disappeared")
