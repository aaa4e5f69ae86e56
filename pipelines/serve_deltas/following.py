"""Sends one reader what it lacks, again and again, until the answer ends or the reader leaves.

A reader costs one task, a position and what the system keeps for its connection. While it does not
read, it takes nothing; afterwards it takes all that it lacks at once. One that reads nothing for
`patience` seconds is cut off, and can return with its position.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from pipelines.serve_deltas.encoders import CutOff, Encoder
from pipelines.serve_deltas.hub import Channel, Hub
from pipelines.serve_deltas.position import Position

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

# Seconds in which another server's news must have arrived here, or the reader's text is void.
_AHEAD = 5.0


class Reader:
    """One reader of a channel: where it is, and what its connection does."""

    def __init__(self, channel: Channel, encoder: Encoder, position: Position | None) -> None:
        self.channel, self.encoder, self.position = channel, encoder, position
        self.has_left = False
        self.wants_ping = False
        self.sends_since: float | None = None  # since when it has not taken what is sent
        self.abort: Callable[[], object] = lambda: None

    def cut_with(self, scope: MutableMapping[str, Any]) -> None:
        """Let the connection of the request `scope` be cut when the reader reads nothing."""
        transport = scope.get("state", {}).get("transport")
        if transport is not None:
            self.abort = transport.abort

    def news(self) -> bytes | None:
        """Return the bytes that the reader lacks, None if it lacks nothing. Raises CutOff."""
        news = self.channel.text.since(self.position)
        if news is not None:
            self.position = news.position
            return self.encoder.encode(news)
        if self.channel.is_lost or self.channel.text.is_beheaded:
            return self.encoder.gone()
        return None

    @property
    def at_end(self) -> bool:
        """Whether it has all of an answer that has ended."""
        text = self.channel.text
        return text.ending is not None and self.position == text.tail

    @property
    def has_all(self) -> bool:
        """Whether nothing more will come."""
        return self.channel.is_lost or self.channel.text.is_beheaded or self.at_end


class Readers:
    """The readers of a server: how many there are, and which of them read nothing."""

    def __init__(self, hub: Hub, *, ping_seconds: float, patience: float) -> None:
        self._hub, self._ping_seconds, self._patience = hub, ping_seconds, patience
        self._readers: set[Reader] = set()

    @property
    def count(self) -> int:
        """The readers that are connected."""
        return len(self._readers)

    async def run(self) -> None:
        """Ping quiet connections, and cut slow ones, for ever."""
        tick = min(self._ping_seconds, self._patience) / 4
        pinged = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(tick)
            now = loop.time()
            pings = now - pinged >= self._ping_seconds
            pinged = now if pings else pinged
            for reader in list(self._readers):
                reader.wants_ping = reader.wants_ping or pings
                since = reader.sends_since
                if since is not None and now - since > self._patience:
                    reader.abort()
            if pings:
                for channel in self._hub.channels:
                    channel.wake()

    async def follow(self, reader: Reader, receive: Receive, send: Send) -> None:
        """Send until the end. The head of the response has been sent."""
        async with self.joined(reader, receive):
            try:
                await self.let_catch_up(reader)
                await self._send_all(reader, send)
            except CutOff as cut:
                # Without a last message, the connection is closed in the middle of the response.
                await _send(reader, send, cut.args[0])

    @contextlib.asynccontextmanager
    async def joined(self, reader: Reader, receive: Receive) -> AsyncIterator[None]:
        """Count the reader, and notice when it leaves."""
        self._readers.add(reader)
        leaving = asyncio.ensure_future(_until_left(reader, receive))
        try:
            yield
        finally:
            leaving.cancel()
            self._readers.discard(reader)

    async def _send_all(self, reader: Reader, send: Send) -> None:
        channel = reader.channel
        while not reader.has_left:
            if (body := reader.news()) is None and not self._hub.is_closing:
                if reader.wants_ping and reader.encoder.ping:
                    reader.wants_ping = False
                    await _send(reader, send, reader.encoder.ping)
                else:
                    await channel.changed()
                continue
            if reader.has_all:
                await send({"type": "http.response.body", "body": body or b""})
                return
            if body is None:  # the server is closing, and the answer is not whole
                reader.encoder.leave()
                await send({"type": "http.response.body", "body": b""})
                return
            await _send(reader, send, body)

    async def let_catch_up(self, reader: Reader) -> None:
        """Wait for what another server has told the reader; else its text begins anew."""
        channel = reader.channel
        with_bound = asyncio.get_running_loop().time() + _AHEAD
        while channel.text.is_behind(reader.position) and not reader.has_left:
            left = with_bound - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(channel.changed(), max(left, 0.001))
            except asyncio.TimeoutError:
                tail = channel.text.tail
                # Its text is one that the store does not have: what the store has is another.
                reader.position = tail and Position(0, 0, 0)
                return


async def _send(reader: Reader, send: Send, body: bytes) -> None:
    reader.sends_since = asyncio.get_running_loop().time()
    await send({"type": "http.response.body", "body": body, "more_body": True})
    reader.sends_since = None


async def _until_left(reader: Reader, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.has_left = True
    reader.channel.wake()
