"""Ids in Redis, where the deltas are: all servers beside each other know them."""

from __future__ import annotations

from contextlib import suppress

from pipelines.serve_deltas.prompts.claims.base import CLAIM_SECONDS, Claim
from pipelines.serve_deltas.stores.redis_errors import client_errors
from transforms.connections.delta_streams import KEY, deltas_of, split_options
from transforms.connections.prompt_streams import asked_of
from transforms.connections.redis import IMPATIENT, connect_async, public_address
from transforms.sinks.redis import TTL_SECONDS

_PUTTING, _PUT = "putting ", "put "


class RedisClaims:
    """The ids at `url`, which is that of the deltas; each is known for its `ttl` in seconds."""

    def __init__(self, url: str) -> None:
        address, options = split_options(url)
        self._key = options.get("key", KEY)
        self._ttl = int(options.get("ttl", TTL_SECONDS))
        self._name = public_address(address)
        self._redis = connect_async(address, IMPATIENT, connections=4)

    async def claim(self, id: str, digest: str) -> Claim:
        """Claim the id for the prompt with `digest`. Raises StoreUnavailable."""
        with client_errors(self._name):
            name = asked_of(self._key, id)
            if await self._redis.set(name, _PUTTING + digest, nx=True, ex=CLAIM_SECONDS):
                if not await self._redis.exists(deltas_of(self._key, id)):
                    return Claim.NEW
                await self._redis.delete(name)
                return Claim.OTHER
            held = (await self._redis.get(name) or b"").decode("utf-8", "replace")
        if held == _PUT + digest:
            return Claim.TAKEN
        return Claim.BUSY if held in (_PUTTING + digest, "") else Claim.OTHER

    async def confirm(self, id: str, digest: str) -> None:
        """Record that the claimed prompt is in the source. Raises StoreUnavailable."""
        with client_errors(self._name):
            await self._redis.set(asked_of(self._key, id), _PUT + digest, ex=self._ttl)

    async def release(self, id: str) -> None:
        """Give the id back. Raises StoreUnavailable."""
        with client_errors(self._name):
            await self._redis.delete(asked_of(self._key, id))

    async def aclose(self) -> None:
        """Close the connections."""
        with suppress(Exception):
            await self._redis.aclose()
            await self._redis.connection_pool.disconnect()
