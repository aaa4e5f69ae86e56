"""Sends equal requests of one process once; the rows that wait share the completion. No Beam.

The journal has the completions of earlier requests. This module tracks the requests in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from transforms.elements import Completion, DeadLetter, Prompt

End = Completion | DeadLetter


class SingleFlight:
    """The requests in flight on one event loop, by the hash of a request."""

    def __init__(self) -> None:
        self._in_flight: dict[str, asyncio.Future[End | None]] = {}

    async def end(
        self,
        request: str,
        find: Callable[[], Awaitable[Completion | None]],
        send: Callable[[], Awaitable[End]],
    ) -> End | None:
        """Return how an equal request has ended, or None once `send` was called for this one.

        `find` looks for a completion of an earlier request. A retryable failure is not shared at
        first: one waiter sends the request again for all of them, and shares its end.
        """
        failed = False
        while (in_flight := self._in_flight.get(request)) is not None:
            end = await asyncio.shield(in_flight)
            if isinstance(end, DeadLetter) and end.retryable and not failed:
                failed = True
            elif end is not None:  # None: the sender was cancelled, with its bundle
                return end
        return await self._send_for_all(request, find, send)

    async def _send_for_all(
        self,
        request: str,
        find: Callable[[], Awaitable[Completion | None]],
        send: Callable[[], Awaitable[End]],
    ) -> End | None:
        mine = self._in_flight[request] = asyncio.get_running_loop().create_future()
        end: End | None = None
        try:
            # Look here, not earlier: a completion reaches the journal before its request leaves
            # the table, so it is in one of the two at any time.
            found = end = await find()
            if found is None:
                end = await send()
            return found
        finally:
            del self._in_flight[request]
            mine.set_result(end)


def copy_for(prompt: Prompt, end: End) -> End:
    """Return `end`, which an equal request has reached, as the outcome of `prompt`, at no cost."""
    row: dict[str, Any] = {"id": prompt.id, "input": prompt.input, "place": prompt.place}
    row["cost_usd"] = None if end.cost_usd is None else 0.0
    row |= {"wasted_tokens": 0, "wasted_cost_usd": 0.0, "waste_estimated": False}
    if isinstance(end, Completion):
        return end._replace(**row, shared=True, replayed=False)
    return end._replace(**row, request=prompt.request, attempts=0)
