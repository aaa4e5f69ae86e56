"""The Redis stream that `stream_complete --source redis://...` reads."""

from __future__ import annotations

from contextlib import suppress

from pipelines.serve_deltas.prompts.queues.base import QueueFull, QueueUnavailable
from pipelines.serve_deltas.stores.base import StoreUnavailable
from pipelines.serve_deltas.stores.redis_errors import client_errors
from transforms.connections.prompt_streams import prompts_of, split_source
from transforms.connections.redis import IMPATIENT, connect_async, public_address

# The most prompts that wait: without a job that reads them, the server would fill up.
MOST_WAITING = 100_000


class RedisQueue:
    """The stream `KEY:prompts` at `url`. Raises ValueError for a bad one."""

    def __init__(self, url: str, most_waiting: int = MOST_WAITING) -> None:
        address, key, _, _ = split_source(url)
        self._stream, self._most = prompts_of(key), most_waiting
        self._name = public_address(address)
        self._redis = connect_async(address, IMPATIENT, connections=4)

    async def check(self) -> None:
        """Raise QueueUnavailable unless the server responds, and has a stream there or nothing."""
        await self._waiting()

    async def put(self, id: str, row: bytes) -> None:
        """Append an entry. Raises QueueFull, QueueUnavailable."""
        if await self._waiting() >= self._most:
            raise QueueFull(f"{self._most:,} prompts are waiting")
        try:
            with client_errors(self._name):
                await self._redis.xadd(self._stream, {"id": id, "json": row})
        except StoreUnavailable as error:
            raise QueueUnavailable(str(error)) from None

    async def _waiting(self) -> int:
        try:
            with client_errors(self._name):
                return int(await self._redis.xlen(self._stream))
        except StoreUnavailable as error:
            raise QueueUnavailable(str(error)) from None

    async def aclose(self) -> None:
        """Close the connections."""
        with suppress(Exception):
            await self._redis.aclose()
            await self._redis.connection_pool.disconnect()
