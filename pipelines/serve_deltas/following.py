"""Gives each reader what it lacks, until the answer ends or the reader leaves.

The problem: a delta must reach thousands of readers within milliseconds, and a slow one must hold
up nothing.

The idea: what feeds a channel pushes the news to all its readers, in one loop without a task for
each. Most readers of an answer are at the same place of it, so they share the bytes. A reader whose
connection is full is left out; when it has read, it gets all that it lacks at once.

The invariants:
- A reader costs a position and what the system keeps for its connection: no queue grows for it.
- What a reader gets depends on its place (position and form) alone, not on when it is pushed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, MutableMapping
from typing import Any, NamedTuple

from pipelines.serve_deltas.connection import Connection, chunk_of
from pipelines.serve_deltas.encoders import CutOff, Encoder
from pipelines.serve_deltas.hub import Channel
from pipelines.serve_deltas.position import Position

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

# Seconds in which another server's news must have arrived here, or the reader's text is void.
_AHEAD = 5.0


class Place(NamedTuple):
    """Where a reader is in an answer, in its form. The same place has the same news."""

    encoder: Encoder
    position: Position | None
    state: Hashable  # what the form must know of what the reader has


class News(NamedTuple):
    """The bytes that a place lacks, and the place after them.

    `is_whole` is None while more may follow. Then it says whether the response ends in order: else
    it breaks off, so that the reader learns that it is not whole.
    """

    chunk: bytes
    place: Place
    is_whole: bool | None = None


class Reader:
    """One reader of a channel: where it is, and its connection."""

    __slots__ = ("_connection", "_over", "channel", "is_followed", "is_quiet", "place")

    def __init__(
        self,
        channel: Channel,
        encoder: Encoder,
        position: Position | None,
        connection: Connection,
    ) -> None:
        self.channel, self._connection = channel, connection
        self.place = Place(encoder, position, encoder.begin(channel.id))
        self.is_followed = False  # its response has begun, and has nothing but pushed chunks
        self.is_quiet = False  # nothing was sent since the last look
        self._over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def push(self, shared: MutableMapping[Any, Any] | None = None) -> None:
        """Write what the reader lacks; `shared` has the news of other places of the channel."""
        if not self.is_followed or self._over.done():
            return
        if self._connection.is_full:
            if self.channel.is_closing:
                self._over.set_result(False)
            return
        self._take(shared)
        if self.channel.is_over and not self._over.done():
            self._take(shared)  # that nothing more comes

    def _take(self, shared: MutableMapping[Any, Any] | None) -> None:
        news = shared.get(self.place) if shared is not None else None
        if news is None:
            news = news_of(self.channel, self.place)
            if shared is not None:
                shared[self.place] = news
        if news.chunk:
            self._connection.write(news.chunk)
            self.is_quiet = False
        self.place = news.place
        if news.is_whole is not None:
            self._over.set_result(news.is_whole)

    def ping(self) -> None:
        """Write what keeps a quiet connection alive."""
        is_idle = self.is_followed and self.is_quiet and not self._over.done()
        if is_idle and not self._connection.is_full:
            self._connection.write(chunk_of(self.place.encoder.ping))
        self.is_quiet = True

    def leave(self) -> None:
        """End: the reader has gone."""
        if not self._over.done():
            self._over.set_result(False)
            self.channel.stir()  # a long poll waits

    def attach(self) -> None:
        """Let the connection tell of itself."""
        self._connection.attach(self)

    def detach(self) -> None:
        """Let the connection tell nothing more."""
        self._connection.detach(self)

    async def ended(self) -> bool:
        """Return once nothing more follows: whether the response ends in order."""
        return await self._over

    @property
    def has_left(self) -> bool:
        """Whether it gets nothing more."""
        return self._over.done()

    @property
    def position(self) -> Position | None:
        """Where it is, None at the beginning of whatever comes."""
        return self.place.position

    @property
    def at_end(self) -> bool:
        """Whether it has all of an answer that has ended."""
        text = self.channel.text
        return text.ending is not None and self.place.position == text.tail

    def begin_anew(self) -> None:
        """Take the text of the reader as void."""
        has_begun = self.channel.text.tail is not None
        self.place = self.place._replace(position=Position(0, 0, 0) if has_begun else None)


def news_of(channel: Channel, place: Place) -> News:
    """Return what `place` lacks of the answer."""
    try:
        return _news(channel, place)
    except CutOff as cut:
        return News(chunk_of(cut.args[0]), place, is_whole=False)


def _news(channel: Channel, place: Place) -> News:
    encoder, text = place.encoder, channel.text
    if (found := text.since(place.position)) is not None:
        body, state = encoder.encode(found, place.state)
        ended = True if found.ending is not None else None
        return News(chunk_of(body), Place(encoder, found.position, state), ended)
    if channel.has_no_rest:
        return News(chunk_of(encoder.gone(place.state)), place, is_whole=True)
    if text.ending is not None and place.position == text.tail:
        return News(b"", place, is_whole=True)
    if channel.is_closing:
        encoder.leave()
        return News(b"", place, is_whole=True)
    return News(b"", place)


class Readers:
    """The readers of a server: how many there are, and which of them hear nothing."""

    def __init__(self, *, ping_seconds: float) -> None:
        self._ping_seconds = ping_seconds
        self._readers: set[Reader] = set()

    @property
    def count(self) -> int:
        """The readers that are connected."""
        return len(self._readers)

    async def run(self) -> None:
        """Ping quiet connections, for ever."""
        while True:
            await asyncio.sleep(self._ping_seconds / 2)
            for reader in list(self._readers):
                reader.ping()

    async def follow(self, reader: Reader) -> bool:
        """Push until the end; return whether the response ends in order. Its head was sent."""
        async with self.joined(reader):
            await self.let_catch_up(reader)
            with reader.channel.followed_by(reader):
                reader.is_followed = True
                reader.push()
                return await reader.ended()

    @contextlib.asynccontextmanager
    async def joined(self, reader: Reader) -> AsyncIterator[None]:
        """Count the reader, and notice when it leaves."""
        self._readers.add(reader)
        reader.attach()
        try:
            yield
        finally:
            reader.detach()
            self._readers.discard(reader)

    async def let_catch_up(self, reader: Reader) -> None:
        """Wait for what another server has told the reader; else its text begins anew."""
        channel = reader.channel
        with_bound = asyncio.get_running_loop().time() + _AHEAD
        while channel.text.is_behind(reader.position) and not reader.has_left:
            left = with_bound - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(channel.changed(), max(left, 0.001))
            except asyncio.TimeoutError:
                # Its text is one that the store does not have: what the store has is another.
                reader.begin_anew()
                return
