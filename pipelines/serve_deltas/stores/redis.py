"""Deltas from Redis: the streams that a sink with `per_id=true` writes.

The problem: thousands of readers follow hundreds of ids, none may miss a delta between what the
stream had when a reader came and what it gains, and Redis may go away and come back.

The idea: one connection reads all open streams with one XREAD, from the last entry that was read of
each. What a stream has is read up to its end before it joins the others, so nothing lies between.
Another connection reads these beginnings, and wakes the first one when a stream joins.

The invariants:
- `_last[name]` is the number of the last entry that was fed. Reading goes on after it, also after
  an interruption, so each entry is fed once while its stream is open.
- One task alone uses the connection of the tail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.stores.base import Begun, Feed
from pipelines.serve_deltas.stores.redis_errors import client_errors, words
from transforms.connections.delta_streams import (
    KEY,
    MOST_BEGUN,
    MOST_STOPS,
    attempt_and_seq,
    begun_of,
    deltas_of,
    split_options,
    stops_of,
)
from transforms.connections.redis import IMPATIENT, connect_async, public_address

_log = logging.getLogger("pipelines.serve_deltas")

# Entries of one stream that are read at once.
_PAGE = 1_000
# Milliseconds that an XREAD waits for entries.
_BLOCK = 5_000
# Seconds from the reply to a read of the tail until the next: what comes together is read together.
_PAUSE = 0.004
# Seconds for which streams are fed before others have their turn on the loop.
_SLICE = 0.005
# Seconds after which a silent stream is looked for: Redis does not say that a key has expired.
_SILENCE = 30.0
_FIRST_DELAY, _MOST_DELAY = 0.1, 2.0


class RedisStore:
    """The deltas at `url`, which is that of the sink. Raises ValueError for a bad one."""

    def __init__(self, url: str) -> None:
        address, options = split_options(url)
        self._key = options.get("key", KEY)
        self._name = public_address(address)
        self._commands = connect_async(address, IMPATIENT, connections=4)
        self._tail = connect_async(address, 0, connections=1)
        # By the name of each open stream: its id, its last entry, and when it was heard of.
        self._ids: dict[bytes, str] = {}
        self._last: dict[bytes, bytes] = {}
        self._heard: dict[bytes, float] = {}
        self._turn = 0  # how many reads of the tail have begun
        self._task: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()

    async def start(self, feed: Feed, lost: Callable[[str], None]) -> None:
        """Begin to feed the ids that are opened. Raises StoreUnavailable."""
        self._feed, self._lost = feed, lost
        with client_errors(self._name):
            await self._commands.ping()
        self._task = asyncio.create_task(self._run())

    async def open(self, id: str) -> None:
        """Feed what the stream has, then what it gains. Raises StoreUnavailable."""
        with client_errors(self._name):
            last = await self._read_beginning(id)
        name = self._name_of(id)
        self._ids[name], self._last[name] = id, last
        self._heard[name] = asyncio.get_running_loop().time()
        self._opened.set()
        await self._wake()

    def close(self, id: str) -> None:
        """Feed the id no longer."""
        name = self._name_of(id)
        self._ids.pop(name, None)
        self._last.pop(name, None)
        self._heard.pop(name, None)

    async def stop(self, id: str) -> None:
        """Ask the worker that generates the answer to stop. Raises StoreUnavailable."""
        with client_errors(self._name):
            await self._commands.xadd(stops_of(self._key), {"id": id}, maxlen=MOST_STOPS)

    async def lately(self, most: int) -> Sequence[Begun]:
        """Return the answers that began last and are still there. Raises StoreUnavailable."""
        with client_errors(self._name):
            entries = await self._commands.xrevrange(begun_of(self._key), count=MOST_BEGUN)
            newest: dict[str, str] = {}
            for number, fields in entries:
                id = fields.get(b"id", b"").decode("utf-8", "replace")
                if len(newest) < most:
                    newest.setdefault(id, number.decode())
            async with self._commands.pipeline(transaction=False) as pipe:
                for id in newest:
                    pipe.exists(deltas_of(self._key, id))
                there = await pipe.execute()
        rows = zip(newest.items(), there, strict=True)
        return [Begun(id, mark) for (id, mark), is_there in rows if is_there]

    async def aclose(self) -> None:
        """Feed nothing more, and close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for client in (self._tail, self._commands):
            with suppress(Exception):
                await client.aclose()
                await client.connection_pool.disconnect()

    def _name_of(self, id: str) -> bytes:
        return deltas_of(self._key, id).encode()

    async def _read_beginning(self, id: str) -> bytes:
        """Feed the newest submission up to its end; return the number of its last entry."""
        stream = self._name_of(id)
        newest = await self._commands.xrevrange(stream, count=1)
        if not newest:
            return b"0-0"
        last = start = b"%d-0" % _order(newest[0][0])
        while True:
            entries = await self._commands.xrange(stream, min=start, count=_PAGE)
            self._feed(id, _pieces(entries))
            last = entries[-1][0] if entries else last
            if len(entries) < _PAGE:
                return last
            start = b"(" + last

    async def _wake(self) -> None:
        """Let the tail begin another read, with the stream that was opened."""
        turn, connection = self._turn, self._connection_id
        while self._turn == turn and connection is not None and connection == self._connection_id:
            with suppress(Exception):  # without the right to it, the stream joins a little later
                await self._commands.client_unblock(connection)
            await asyncio.sleep(0.005)

    _connection_id: int | None = None

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                await self._read_tail()
                delay = _FIRST_DELAY
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if delay == _FIRST_DELAY:  # the first failure only
                    _log.warning("%s cannot be read: %s; trying again", self._name, words(error))
                self._connection_id = None
                await asyncio.sleep(delay)
                delay = min(delay * 2, _MOST_DELAY)

    async def _read_tail(self) -> None:
        """Feed what the open streams have gained, once some have."""
        if not self._last:
            self._opened.clear()
            await self._opened.wait()
        if self._connection_id is None:
            with suppress(Exception):  # not every server lets a client ask
                self._connection_id = await self._tail.client_id()
        self._turn += 1
        block = _BLOCK if self._connection_id is not None else 50
        found = await self._tail.xread(dict(self._last), count=_PAGE, block=block)
        loop = asyncio.get_running_loop()
        arrived = since = loop.time()
        for name, entries in found or ():
            if loop.time() - since > _SLICE:  # many readers: each feed writes to all of its stream
                await asyncio.sleep(0)
                since = loop.time()
            if name in self._last and entries:
                self._last[name] = entries[-1][0]
                self._heard[name] = arrived
                self._feed(self._ids[name], _pieces(entries))
        await self._look_for_silent(arrived)
        # A loop that is busy for longer finds more at once anyway.
        await asyncio.sleep(max(arrived + _PAUSE - loop.time(), 0))

    async def _look_for_silent(self, now: float) -> None:
        """Find the streams that have disappeared, among those that have been silent for long."""
        silent = [name for name, heard in self._heard.items() if now - heard > _SILENCE]
        for name in silent[:100]:
            if (id := self._ids.get(name)) is None:
                continue  # closed meanwhile
            self._heard[name] = now
            if self._last[name] != b"0-0" and not await self._commands.exists(name):
                self._lost(id)


def _order(number: bytes) -> int:
    return int(number.partition(b"-")[0])


def _pieces(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterable[Piece]:
    for number, fields in entries:
        first, _, second = number.partition(b"-")
        attempt, seq = attempt_and_seq(int(second))
        failed = fields.get(b"failed")
        yield Piece(
            rank=(int(first), attempt),
            seq=seq,
            text=fields.get(b"text", b"").decode("utf-8", "replace"),
            chunk=fields.get(b"chunk", b""),
            final=fields.get(b"final", b"0") not in (b"", b"0"),
            outcome=fields.get(b"outcome", b""),
            failed=None if failed is None else failed.decode("utf-8", "replace"),
        )
