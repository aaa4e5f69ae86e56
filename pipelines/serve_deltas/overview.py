"""All answers that began lately, in one response: what a page needs that shows them side by side.

The problem: a browser opens six connections to a server at most, and a page may show a hundred
answers. After a reload or a lost connection each answer must go on exactly where the page left it.

The idea: the page says which position it has in each answer. One task for each answer follows it
as any reader does, and all write lines of JSON to the one response. The listing of the store says
which answers have begun meanwhile. A server keeps nothing for a page that has left.

What holds: a page that reads nothing is left out like any slow reader, and then cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.connection import chunk_of, connection_of
from pipelines.serve_deltas.encoders.base import SSE_HEADERS
from pipelines.serve_deltas.encoders.events import added
from pipelines.serve_deltas.following import Reader, Receive, Send
from pipelines.serve_deltas.growing_text import News
from pipelines.serve_deltas.host import Host, begun
from pipelines.serve_deltas.ids import is_id
from pipelines.serve_deltas.position import Position, parse_position
from pipelines.serve_deltas.stores.base import Begun, Store, StoreUnavailable

# The most answers that are listed, and that one page follows at once.
MOST_LISTED = 100
# Seconds between two looks for answers that have begun.
_EVERY = 0.5
# Seconds that the first delta of a new answer may come after its listing.
_LATER = 5.0


class Listing:
    """The answers that began last; many pages cost the store one look."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._begun: Sequence[Begun] = ()
        self._until = 0.0

    async def newest(self) -> Sequence[Begun]:
        """Return the answers that began last, the newest first. Raises StoreUnavailable."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now >= self._until:
                found = await self._store.lately(MOST_LISTED)
                self._begun = [begun for begun in found if is_id(begun.id)]
                self._until = now + _EVERY / 2
            return self._begun


class Lines:
    """Lines of JSON: `id`, `position`, and each only if there is any: `reset`, what is new, `end`.

    After `gone` nothing of the answer follows: its stream has disappeared.
    """

    media_type = "application/x-ndjson"
    headers: Mapping[str, str] = SSE_HEADERS
    ping = b""
    later: bytes | None = None

    def begin(self, id: str) -> str:
        """Return the id, which each line has."""
        return id

    def encode(self, news: News, id: str) -> tuple[bytes, str]:
        """Return the line for `news`."""
        fields: dict[str, Any] = {"position": str(news.position)}
        if news.is_reset:
            fields["reset"] = True
        fields |= added(news.pieces)
        if news.ending is not None:
            fields["end"] = news.ending.fields
        return _line(id, fields), id

    def gone(self, id: str) -> bytes:
        """Return the line of an answer that has disappeared."""
        return _line(id, {"gone": True})

    def leave(self) -> None:
        """Return: the page comes back with its positions."""


def _line(id: str, fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"id": id, **fields}) + b"\n"


_LINES = Lines()
_PING = chunk_of(b"\n")


class Overview:
    """The response to one page. `positions` is what the page says that it has."""

    def __init__(
        self,
        host: Host,
        listing: Listing,
        positions: Any,
        ping_seconds: float,
    ) -> None:
        self._host, self._listing, self._ping_seconds = host, listing, ping_seconds
        self._positions = _positions(positions)
        self._marks: dict[str, str] = {}  # of the answers that are followed, or were
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send until the page leaves or the server ends."""
        self._connection = connection_of(scope)
        await send(begun(self._host, Lines.media_type, Lines.headers))
        leaving = asyncio.create_task(self._notice_leaving(receive))
        try:
            await self._run()
        finally:
            leaving.cancel()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pinged = -self._ping_seconds
        while not self._left.is_set() and not self._host.hub.is_closing:
            if loop.time() - pinged >= self._ping_seconds:
                pinged = loop.time()
                if not self._connection.is_full:
                    self._connection.write(_PING)
            with suppress(StoreUnavailable):  # the page keeps what it has, and the store comes back
                self._follow_new(await self._listing.newest())
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._left.wait(), _EVERY)

    def _follow_new(self, newest: Sequence[Begun]) -> None:
        """Follow the answers that have begun since the last look, the oldest first."""
        self._tasks = {id: task for id, task in self._tasks.items() if not task.done()}
        kept = {begun.id for begun in newest} | self._tasks.keys()
        self._marks = {id: mark for id, mark in self._marks.items() if id in kept}
        self._positions = {id: place for id, place in self._positions.items() if id in kept}
        for id, mark in reversed(newest):
            is_new = self._marks.get(id) != mark and id not in self._tasks
            if is_new and len(self._tasks) < MOST_LISTED:
                self._marks[id] = mark
                self._tasks[id] = asyncio.create_task(self._follow(id))

    async def _follow(self, id: str) -> None:
        try:
            async with self._host.hub.channel(id) as channel:
                self._host.admit(channel)
                await self._host.wait_for(channel)
                reader = Reader(channel, _LINES, self._positions.get(id), self._connection)
                if reader.at_end:  # it has begun again, or the page has it all
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(channel.changed(), _LATER)
                try:
                    if not reader.at_end:
                        await self._host.readers.follow(reader)
                finally:
                    if reader.position is not None:
                        self._positions[id] = reader.position
        except StoreUnavailable:
            self._marks.pop(id, None)  # the next look tries again
        except Refused:  # too many readers, or no delta came
            return

    async def _notice_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left.set()


def _positions(given: Any) -> dict[str, Position]:
    """Return the positions that are sound; an answer without one begins at its beginning."""
    if not isinstance(given, dict):
        return {}
    parsed = {id: parse_position(text) for id, text in given.items() if isinstance(text, str)}
    return {id: position for id, position in parsed.items() if position is not None}
