"""A key that is read again when the provider refuses it: it may have been rotated meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ritellm.client_async import AsyncClient
from ritellm.errors import AuthenticationError

# A key that nobody mends must not have every row read the secret.
_READ_AGAIN_AFTER = 30.0


class Key:
    """What `read` returned last. All calls of a client share it, and one of them reads again.

    It is read anew `pause` seconds after the last time at the earliest. `read` may block.
    """

    def __init__(
        self,
        read: Callable[[], str],
        pause: float = _READ_AGAIN_AFTER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._pause, self._now = read, pause, now
        self._lock = asyncio.Lock()
        self._read_again_at = float("-inf")
        self.value = read()

    async def other_than(self, refused: str) -> str | None:
        """Return the key that has taken the place of `refused`, or None if there is none yet.

        Raises AuthenticationError if it can no longer be read.
        """
        async with self._lock:
            due = self._now() - self._read_again_at >= self._pause
            if self.value == refused and due:
                self._read_again_at = self._now()
                self.value = await asyncio.to_thread(self._read)
            return self.value if self.value != refused else None


class RenewingClient(AsyncClient):
    """An AsyncClient with a key that can be rotated: a refused one is read again, once.

    `name` is what an error calls the key. `defaults` are those of AsyncClient.
    """

    def __init__(self, key: Key, name: str, **defaults: Any) -> None:
        super().__init__(**defaults)
        self._key, self._name = key, name

    async def completion(
        self, model: str, messages: Any, *, stream: bool = False, **arguments: Any
    ) -> Any:
        """Do what `AsyncClient.completion` does."""
        key = self._key.value

        def ask(key: str) -> Any:
            given = {"api_key": key, **arguments}
            return AsyncClient.completion(self, model, messages, stream=stream, **given)

        try:
            return await ask(key)
        except AuthenticationError as error:
            other = await self._renewed(key, error)
            if other is None:
                error.message += f"; the key in {self._name} is still the one that was refused"
                raise
        return await ask(other)

    async def _renewed(self, key: str, refusal: AuthenticationError) -> str | None:
        try:
            return await self._key.other_than(key)
        except AuthenticationError as error:
            refusal.message += f"; and {error.message}"
            raise refusal from None
