"""Limits how many prompts of a process are in flight. No Beam, no HTTP.

A prompt holds a place while a request for it is in flight, and until the journal has recorded its
completion. So a process that dies loses at most `places` responses that were paid for. Between two
attempts a prompt rests without a place, so it does not block other prompts.

    enter() -> in flight, place held --leave()/vacated()--> resting, no place --enter()--> in flight
                                     --close()------------> done, no place

Two requests of one prompt (hedging) share its place: it is free once neither needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """`places` for prompts in flight; `resting` is the number of prompts between two attempts."""

    def __init__(self, places: int) -> None:
        self.resting = 0
        self._free = asyncio.Semaphore(places)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Hold a place; wait until one is free."""
        place = Place(self, self._free)
        await place.enter()
        try:
            yield place
        finally:
            place.close()


class Place:
    """The place of one prompt, shared by all requests that are sent for it."""

    def __init__(self, room: Room, free: asyncio.Semaphore) -> None:
        self._room = room
        self._free = free
        self._active = 0  # requests that need the place: not resting, or waiting to enter again
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
