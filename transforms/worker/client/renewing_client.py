"""A client that reads its key again when the provider refuses it: the key may be rotated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from ritellm.calls.plan import Draft, Plan
from ritellm.client_async import AsyncClient
from ritellm.errors import AuthenticationError
from ritellm.stream_async import AsyncStream
from ritellm.transports.retry_loop import Between

# The least time between two reads, so that not every row reads the secret while a key stays wrong.
_READ_AGAIN_AFTER = 30.0


class Key:
    """The key that `read` returned last, shared by all calls of a client.

    It is read again at most once in `pause` seconds. `read` may block.
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
        self.read_before = {self.value}

    async def other_than(self, refused: str) -> str | None:
        """Return the key that has replaced `refused`, or None if it has not been replaced yet.

        Raises AuthenticationError if the key can no longer be read.
        """
        async with self._lock:
            due = self._now() - self._read_again_at >= self._pause
            if self.value == refused and due:
                self._read_again_at = self._now()
                self.value = await asyncio.to_thread(self._read)
                self.read_before.add(self.value)
            return self.value if self.value != refused else None


class RenewingClient(AsyncClient):
    """An AsyncClient whose key may be rotated: after a refusal the key is read again, once.

    Errors call the key `name`. `defaults` are those of AsyncClient.
    """

    def __init__(self, key: Key, name: str, **defaults: Any) -> None:
        super().__init__(**defaults)
        self._key, self._name = key, name

    def draft(self, model: str, *, stream: bool = False, **arguments: Any) -> Draft:
        """Return a draft with the key that was read last; see `AsyncClient.draft`."""
        return super().draft(model, stream=stream, **{"api_key": self._key.value, **arguments})

    def stream(
        self, plan: Plan, *, emit_chunks: bool = True, between: Between = nullcontext
    ) -> AsyncStream:
        """Return a stream that renews its key; see `AsyncClient.stream`."""
        return _RenewingStream(self, plan, emit_chunks, between)

    def signed(self, plan: Plan, key: str) -> Plan:
        """Return `plan` with `key` in place of every earlier key of this client."""
        rest = tuple([self.signed(fallback, key) for fallback in plan.fallbacks])
        old = plan.endpoint.key
        if old == key or old not in self._key.read_before:
            return replace(plan, fallbacks=rest) if rest else plan
        return replace(plan, endpoint=replace(plan.endpoint, key=key), fallbacks=rest)

    async def renewed(self, key: str, refusal: AuthenticationError) -> str:
        """Return the key that has replaced `key`, or raise its `refusal`."""
        try:
            other = await self._key.other_than(key)
        except AuthenticationError as error:
            refusal.message += f"; and {error.message}"
            raise refusal from None
        if other is None:
            refusal.message += f"; the key in {self._name} is still the one that was refused"
            raise refusal
        return other

    @property
    def key(self) -> str:
        """The key that was read last."""
        return self._key.value

    def replace_key(self, key: str) -> None:
        """Use `key` from now on."""
        self._key.read_before.add(key)
        self._key.value = key


class _RenewingStream(AsyncStream):
    """A stream that is opened again if its key was refused and has been replaced."""

    def __init__(
        self, client: RenewingClient, plan: Plan, emit_chunks: bool, between: Between
    ) -> None:
        self._client, self._key = client, client.key
        self._plan, self._emit_chunks, self._between = plan, emit_chunks, between
        self._begin(self._key)

    async def open(self) -> AsyncStream:
        """Open the stream, with a new key if the provider refuses the old one."""
        try:
            return await super().open()
        except AuthenticationError as error:
            self._begin(await self._client.renewed(self._key, error))
        return await super().open()

    def _begin(self, key: str) -> None:
        client = self._client
        call = client._call(client.signed(self._plan, key), self._emit_chunks)
        super().__init__(client._http, call, self._between)
