"""Limits how many prompts of a process are in flight. No Beam, no HTTP.

A prompt holds a place while a request for it is in flight, and until the journal has recorded its
completion. So a process that dies loses at most `places` responses that were paid for. Between two
attempts a prompt rests without a place, so it does not block other prompts.

    enter() -> in flight, place held --leave()/vacated()--> resting, no place --enter()--> in flight
                                     --close()------------> done, no place

Two requests of one prompt (hedging) share its place: it is free once neither needs it.

Rooms of different sizes may share their `Places`: the prompts of all rooms with N places or fewer
hold N places at most, together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# How far a bundle thread reads ahead, as a fraction of the prompts in flight, and the least.
_AHEAD, _LEAST_AHEAD = 0.25, 8
# Prompts between two attempts do not count as in flight, up to this multiple of `max_in_flight`.
_RESTING = 2


class ReadAhead:
    """How many prompts a bundle thread takes: `max_in_flight`, and `spare` ones beside them.

    When a stream ends, the next request is sent at once, even while the thread is busy.
    """

    def __init__(self, max_in_flight: int) -> None:
        self.spare = max(_LEAST_AHEAD, int(max_in_flight * _AHEAD))
        self._most = max_in_flight + self.spare
        self._most_resting = _RESTING * max_in_flight

    def is_full(self, taken: int, room: Room) -> bool:
        """Return whether `taken` prompts are enough; those between two attempts do not count."""
        return taken - min(self._most_resting, room.resting) >= self._most


class Places:
    """The places that several rooms share, in the order of those who wait for one."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}  # by the size of the room
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def add(self, size: int) -> None:
        """Add a room of `size` places."""
        self._held.setdefault(size, 0)

    async def acquire(self, size: int) -> None:
        """Take a place for a room of `size`; wait until one is free."""
        if not self._waiting and self._is_free(size):
            self._held[size] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(size)
            raise

    def release(self, size: int) -> None:
        """Release a place of a room of `size`."""
        self._held[size] -= 1
        self._admit()

    def _admit(self) -> None:
        """Give the free places to those who wait."""
        full: set[int] = set()
        still: list[tuple[int, asyncio.Future[None]]] = []
        while self._waiting and len(full) < len(self._held):
            size, turn = self._waiting.popleft()
            if turn.done():
                continue
            if size in full or not self._is_free(size):
                full.add(size)
                still.append((size, turn))
                continue
            self._held[size] += 1
            turn.set_result(None)
        self._waiting.extendleft(reversed(still))

    def _is_free(self, size: int) -> bool:
        """Return whether no room of `size` or more is full."""
        if len(self._held) == 1:
            return self._held[size] < size
        return all(self._of(larger) < larger for larger in self._held if larger >= size)

    def _of(self, size: int) -> int:
        """Return the places that the rooms of `size` or less hold."""
        return sum(held for smaller, held in self._held.items() if smaller <= size)


class Room:
    """`size` places for prompts in flight; `resting` is the number of prompts between two attempts.

    Rooms with the same `places` share them.
    """

    def __init__(self, size: int, places: Places | None = None) -> None:
        self.resting = 0
        self.size = size
        self._places = places or Places()
        self._places.add(size)

    async def take(self) -> None:
        """Take a place; wait until one is free."""
        await self._places.acquire(self.size)

    def give_back(self) -> None:
        """Release a place."""
        self._places.release(self.size)

    def place(self) -> Place:
        """Return a context that holds a place; it waits until one is free."""
        return Place(self)


class Place:
    """The place of one prompt, shared by all requests that are sent for it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._active = 0  # requests that need the place: not resting, or waiting to enter again
        self._held = False
        self._taking = asyncio.Lock()
        self._resting = False

    async def __aenter__(self) -> Place:
        await self.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def enter(self) -> None:
        """Take the place for one more request."""
        self._active += 1
        try:
            await self._hold()
        except BaseException:
            self._active -= 1
            raise

    def leave(self) -> None:
        """Release the place for one request; it is free once no request needs it."""
        self._active -= 1
        if not self._active:
            self._release()
            self._rest(True)

    @asynccontextmanager
    async def vacated(self) -> AsyncIterator[None]:
        """Release the place for one request meanwhile; enter again unless an error is raised."""
        self.leave()
        try:
            yield
            await self.enter()
        except BaseException:
            self._active += 1  # the end of the request calls `leave` again
            raise

    def close(self) -> None:
        """Release the place."""
        self._release()
        self._rest(False)

    async def _hold(self) -> None:
        """Return once the place is held; the first request takes it for all."""
        async with self._taking:
            if not self._held:
                await self._room.take()
                self._held = True
                self._rest(False)

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._room.give_back()

    def _rest(self, resting: bool) -> None:
        self._room.resting += resting - self._resting
        self._resting = resting
