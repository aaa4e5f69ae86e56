"""Places for prompts in flight. No Beam, no HTTP.

A prompt holds a place while a request for it is in flight, and until the journal has its response:
should the process die, no more than these were paid in vain. Between two attempts it holds none, so
that prompts that wait for their next attempt keep no others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """`places` for prompts in flight; `resting` prompts are between two attempts."""

    def __init__(self, places: int) -> None:
        self.resting = 0
        self._free = asyncio.Semaphore(places)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Hold a place, as soon as there is one."""
        place = Place(self, self._free)
        await place.enter()
        try:
            yield place
        finally:
            place.close()


class Place:
    """One prompt's place, shared by all requests that are sent for it (see `hedging`)."""

    def __init__(self, room: Room, free: asyncio.Semaphore) -> None:
        self._room = room
        self._free = free
        self._active = 0  # requests that are not resting, or that wait to go on
        self._held = False
        self._taking = asyncio.Lock()
        self._resting = False

    async def enter(self) -> None:
        """Take the place for one more request."""
        self._active += 1
        try:
            await self._hold()
        except BaseException:
            self._active -= 1
            raise

    def leave(self) -> None:
        """Give the place up for one request; it is free once no request needs it."""
        self._active -= 1
        if not self._active:
            self._release()
            self._rest(True)

    @asynccontextmanager
    async def vacated(self) -> AsyncIterator[None]:
        """Do without the place, for one request; take it again unless an error ends the wait."""
        self.leave()
        try:
            yield
            await self.enter()
        except BaseException:
            self._active += 1  # its end gives it up again
            raise

    def close(self) -> None:
        """Give everything up."""
        self._release()
        self._rest(False)

    async def _hold(self) -> None:
        """Return once the place is held: the first request to come takes it for all."""
        async with self._taking:
            if not self._held:
                await self._free.acquire()
                self._held = True
                self._rest(False)

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._free.release()

    def _rest(self, resting: bool) -> None:
        self._room.resting += resting - self._resting
        self._resting = resting
