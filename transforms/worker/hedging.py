"""A second request for a straggler: the first answer counts, the other is given up.

Budgeted: extra requests stay below a share of all, and there are none while the provider is
throttling. No Beam, no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ritellm.quantiles import Quantiles

Answer = TypeVar("Answer")

# A percentile means something once so many answers have been timed.
_ENOUGH = 20
# Where nobody can say yet what is late, or nothing may be spent, so many seconds pass.
_LOOK_AGAIN = 0.25
# An answer is late when it takes that many times the percentile.
_LATE = 2.0


class Hedge:
    """When an answer is late, and whether one more request may be spent on it.

    `after` is a number of seconds, or a percentile such as "p95" of the answers so far.
    """

    def __init__(self, after: float | str | None, budget: float = 0.05) -> None:
        self._seconds, self._share = parse(after)
        self._budget = budget
        self._times = Quantiles()
        self.requests = 0
        self.extra = 0

    def delay(self) -> float | None:
        """Return the seconds after which an answer is late; None if nobody can say."""
        if self._seconds is not None:
            return self._seconds
        if self._share is None or self._times.count < _ENOUGH:
            return None
        percentile = self._times.at(self._share)
        return None if percentile is None else percentile * _LATE

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._times.add(seconds)

    def spend(self) -> bool:
        """Return whether one more request may be sent, and count it."""
        if self.extra + 1 > max(1.0, self.requests * self._budget):
            return False
        self.extra += 1
        return True


def parse(after: float | str | None) -> tuple[float | None, float | None]:
    """Return (seconds, share): one of them, or neither; raises ValueError."""
    if after is None:
        return None, None
    text = str(after).strip().lower()
    if text.startswith("p"):
        share = float(text[1:]) / 100
        if not 0 < share < 1:
            raise ValueError(f"a percentile lies between p0 and p100, not at {after!r}")
        return None, share
    seconds = float(text)
    if seconds <= 0:
        raise ValueError(f"seconds must be positive, not {after!r}")
    return seconds, None


async def hedged(
    hedge: Hedge,
    calm: Callable[[], bool],
    ask: Callable[[], Awaitable[Answer]],
    give_up: Callable[[Answer | BaseException], Awaitable[None]],
) -> Answer:
    """Return the first answer of `ask`, asked a second time if the first is late.

    `calm` says whether the provider has room for more. An answer that comes second is handed to
    `give_up`, or the error that ended it; if one of the two fails, the other's counts.
    """
    hedge.requests += 1
    loop = asyncio.get_running_loop()
    started = loop.time()
    asked: list[asyncio.Future[Answer]] = [asyncio.ensure_future(ask())]
    first: asyncio.Future[Answer] | None = None
    try:
        if await _is_late(asked[0], hedge, calm):
            asked.append(asyncio.ensure_future(ask()))
        first = await _first(asked)
        hedge.took(loop.time() - started)
        return first.result()
    finally:
        await _leave([one for one in asked if one is not first], give_up)


async def _is_late(asked: asyncio.Future[Answer], hedge: Hedge, calm: Callable[[], bool]) -> bool:
    """Return True once `asked` is late and may be asked again, False if it answers before."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        delay = hedge.delay()
        left = _LOOK_AGAIN if delay is None else started + delay - loop.time()
        if delay is not None and left <= 0:
            if calm() and hedge.spend():
                return True
            left = _LOOK_AGAIN  # there may be room later
        done, _ = await asyncio.wait([asked], timeout=left)
        if done:
            return False


async def _first(asked: list[asyncio.Future[Answer]]) -> asyncio.Future[Answer]:
    """Return the first that succeeds, or the last that fails."""
    waiting = set(asked)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in sorted(done, key=lambda one: one.exception() is not None):
            if one.exception() is None or not waiting:
                return one


async def _leave(
    others: list[asyncio.Future[Answer]],
    give_up: Callable[[Answer | BaseException], Awaitable[None]],
) -> None:
    for other in others:
        other.cancel()
    for outcome in await asyncio.gather(*others, return_exceptions=True):
        await give_up(outcome)
