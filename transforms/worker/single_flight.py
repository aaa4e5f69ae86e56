"""Equal requests of one process: one is asked, the others wait and take its answer. No Beam.

What was answered before is in the journal; this is about what is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from transforms.elements import Completion, DeadLetter, Prompt

End = Completion | DeadLetter


class Sharing:
    """Who is being asked what, on one event loop; `request` is the hash of a request."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[End | None]] = {}

    async def end(
        self,
        request: str,
        find: Callable[[], Awaitable[Completion | None]],
        ask: Callable[[], Awaitable[End]],
    ) -> End | None:
        """Return how an equal request has ended, or None once `ask` was called for this one.

        `find` looks among the answers there are already. A passing failure is not shared at once:
        one of those that waited asks again for them all, and how that ends holds for them.
        """
        failed = False
        while (asked := self._asked.get(request)) is not None:
            end = await asyncio.shield(asked)
            if isinstance(end, DeadLetter) and end.retryable and not failed:
                failed = True
            elif end is not None:  # None: who asked was given up, with its bundle
                return end
        return await self._ask_for_all(request, find, ask)

    async def _ask_for_all(
        self,
        request: str,
        find: Callable[[], Awaitable[Completion | None]],
        ask: Callable[[], Awaitable[End]],
    ) -> End | None:
        mine = self._asked[request] = asyncio.get_running_loop().create_future()
        end: End | None = None
        try:
            # Only now: an answer is in the journal before its request leaves this table.
            found = end = await find()
            if found is None:
                end = await ask()
            return found
        finally:
            del self._asked[request]
            mine.set_result(end)


def copy_for(prompt: Prompt, end: End) -> End:
    """Return `end`, reached by an equal request, for `prompt`: nothing was asked or paid for it."""
    row: dict[str, Any] = {"id": prompt.id, "input": prompt.input, "place": prompt.place}
    row["cost_usd"] = None if end.cost_usd is None else 0.0
    row |= {"wasted_tokens": 0, "wasted_cost_usd": 0.0, "waste_estimated": False}
    if isinstance(end, Completion):
        return end._replace(**row, shared=True, replayed=False)
    return end._replace(**row, request=prompt.request, attempts=0)
