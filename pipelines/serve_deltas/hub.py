"""The answers that are read now, and the readers that wait for them.

The problem: many readers of one answer must cost one read of the store, a slow one must hold up
nothing, and one that leaves must end nothing.

The idea: a channel for each id that has readers. The store feeds its text, and each change is
pushed to its followers. A reader that was away for a while gets more at once, so no queue grows for
it.

The invariants:
- A channel is open in the store from its first reader until some seconds after its last one.
- Whatever feeds a channel pushes to all its followers, and never waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, MutableMapping
from typing import Any, Protocol

from pipelines.serve_deltas.growing_text import GrowingText
from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.stores.base import Store

# How long a channel without readers stays: a reader that polls comes back.
_LINGER = 10.0
_MOST_IDLE = 1_000


class Follower(Protocol):
    """What gets each change."""

    def push(self, shared: MutableMapping[Any, Any]) -> None:
        """Take the change; `shared` is for what followers have in common."""


class Channel:
    """The answer of one id, and those who read it or wait for it."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.text = GrowingText()
        self.readers = 0
        self.is_lost = False  # its stream has disappeared before its end
        self.is_closing = False  # the server ends
        self.opening: asyncio.Task[None] | None = None
        self._followers: set[Follower] = set()
        self._change = asyncio.Event()

    @property
    def has_no_rest(self) -> bool:
        """Whether nothing more can be read: the stream is lost, or its beginning."""
        return self.is_lost or self.text.is_beheaded

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes here, though the answer may not have ended."""
        return self.is_closing or self.has_no_rest

    @contextlib.contextmanager
    def followed_by(self, follower: Follower) -> Iterator[None]:
        """Push each change to `follower` for the time of the block."""
        self._followers.add(follower)
        try:
            yield
        finally:
            self._followers.discard(follower)

    async def changed(self) -> None:
        """Return at the next change, or at the next `stir`."""
        await self._change.wait()

    def stir(self) -> None:
        """Let those look who wait."""
        change, self._change = self._change, asyncio.Event()
        change.set()

    def wake(self) -> None:
        """Push to the followers, and let those look who wait."""
        self.stir()
        shared: dict[Any, Any] = {}
        for follower in list(self._followers):
            follower.push(shared)


class Hub:
    """The channels of one server."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._channels: dict[str, Channel] = {}
        self._idle: dict[str, asyncio.TimerHandle] = {}  # the longest idle first
        self.is_closing = False

    async def start(self) -> None:
        """Start the store. Raises StoreUnavailable."""
        await self.store.start(self._feed, self._lose)

    @property
    def channels(self) -> Iterable[Channel]:
        """The open channels."""
        return list(self._channels.values())

    @contextlib.asynccontextmanager
    async def channel(self, id: str) -> AsyncIterator[Channel]:
        """Hold the channel of `id` open. Raises StoreUnavailable."""
        channel = self._channels.get(id) or self._open(id)
        if timer := self._idle.pop(id, None):
            timer.cancel()
        channel.readers += 1
        try:
            if channel.opening is not None:
                await asyncio.shield(channel.opening)
            yield channel
        finally:
            channel.readers -= 1
            self._left(channel)

    async def aclose(self) -> None:
        """Wake all readers, which end, and close the store."""
        self.is_closing = True
        for channel in list(self._channels.values()):
            channel.is_closing = True
            channel.wake()
        for timer in self._idle.values():
            timer.cancel()
        await self.store.aclose()

    def _open(self, id: str) -> Channel:
        channel = self._channels[id] = Channel(id)
        channel.is_closing = self.is_closing
        channel.opening = asyncio.create_task(self.store.open(id))
        channel.opening.add_done_callback(lambda task: self._opened(channel, task))
        return channel

    def _opened(self, channel: Channel, task: asyncio.Task[None]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if not failed:
            channel.opening = None
        elif self._channels.get(channel.id) is channel:
            del self._channels[channel.id]  # the next reader tries again

    def _feed(self, id: str, pieces: Iterable[Piece]) -> None:
        channel = self._channels.get(id)
        if channel is not None and channel.text.add(pieces):
            channel.wake()

    def _lose(self, id: str) -> None:
        channel = self._channels.get(id)
        if channel is not None and channel.text.ending is None:
            channel.is_lost = True
            channel.wake()
            self._forget(channel)  # a later reader looks again

    def _left(self, channel: Channel) -> None:
        if channel.readers or self._channels.get(channel.id) is not channel or self.is_closing:
            return
        loop = asyncio.get_running_loop()
        self._idle[channel.id] = loop.call_later(_LINGER, self._forget, channel)
        if len(self._idle) > _MOST_IDLE:
            self._forget(self._channels[next(iter(self._idle))])

    def _forget(self, channel: Channel) -> None:
        if timer := self._idle.pop(channel.id, None):
            timer.cancel()
        if self._channels.get(channel.id) is channel:
            del self._channels[channel.id]
            self.store.close(channel.id)
            if channel.opening is not None:
                channel.opening.cancel()
