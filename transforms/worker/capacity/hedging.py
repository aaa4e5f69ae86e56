"""Sends a late request a second time: the first response counts, the other request is cancelled.

A few slow responses decide how long a job takes, and a second request is often faster than they
are. It costs money, so extra requests stay below a share of all requests, and none is sent while
the provider throttles. No Beam, no HTTP.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ritellm.quantiles import Quantiles

Response = TypeVar("Response")

# A percentile needs this many timed responses.
_ENOUGH = 20
# Look again after this many seconds while no delay is known or no extra request is allowed.
_LOOK_AGAIN = 0.25
# A response is late when it takes this many times the percentile.
_LATE = 2.0


class Hedge:
    """Decides when a response is late, and whether one more request may be sent for it.

    `after` is a number of seconds, or a percentile such as "p95" of the responses so far.
    """

    def __init__(self, after: float | str | None, budget: float = 0.05) -> None:
        self._seconds, self._share = parse(after)
        self._budget = budget
        self._times = Quantiles()
        self.requests = 0
        self.extra = 0

    def delay(self) -> float | None:
        """Return the seconds after which a response is late; None if that is not known yet."""
        if self._seconds is not None:
            return self._seconds
        if self._share is None or self._times.count < _ENOUGH:
            return None
        percentile = self._times.at(self._share)
        return None if percentile is None else percentile * _LATE

    def took(self, seconds: float) -> None:
        """Note how long a response took."""
        self._times.add(seconds)

    def spend(self) -> bool:
        """Return whether one more request may be sent, and count it."""
        if self.extra + 1 > max(1.0, self.requests * self._budget):
            return False
        self.extra += 1
        return True

    async def first(
        self,
        calm: Callable[[], bool],
        send: Callable[[], Awaitable[Response]],
        give_up: Callable[[Response | BaseException], Awaitable[None]],
    ) -> Response:
        """Return the first response of one or two calls of `send`; see `hedged`."""
        return await hedged(self, calm, send, give_up)


class NoHedge:
    """Stands for the hedge of a job without one: every request is sent once."""

    async def first(
        self,
        calm: Callable[[], bool],
        send: Callable[[], Awaitable[Response]],
        give_up: Callable[[Response | BaseException], Awaitable[None]],
    ) -> Response:
        """Return the response of `send`."""
        return await send()


def parse(after: float | str | None) -> tuple[float | None, float | None]:
    """Return (seconds, share): one of them, or neither; raises ValueError."""
    if after is None:
        return None, None
    text = str(after).strip().lower()
    number = text.removeprefix("p")
    try:
        value = float(number)
    except ValueError:
        wanted = 'seconds or a percentile, such as 2.5 or "p95"'
        raise ValueError(f"hedge_after must be {wanted}, got {after!r}") from None
    if number != text:
        if not 0 < value < 100:
            raise ValueError(f"a percentile must be between p0 and p100, got {after!r}")
        return None, value / 100
    if not 0 < value < math.inf:
        raise ValueError(f"seconds must be positive, got {after!r}")
    return value, None


async def hedged(
    hedge: Hedge,
    calm: Callable[[], bool],
    send: Callable[[], Awaitable[Response]],
    give_up: Callable[[Response | BaseException], Awaitable[None]],
) -> Response:
    """Return the first response of `send`, which is called again if the first call is late.

    `calm` says whether the provider has room for more. The response that comes second, or the error
    that ended it, goes to `give_up`. If one of the two fails, the other one's response counts.
    """
    hedge.requests += 1
    loop = asyncio.get_running_loop()
    started = loop.time()
    sent: list[asyncio.Future[Response]] = [asyncio.ensure_future(send())]
    first: asyncio.Future[Response] | None = None
    try:
        if await _is_late(sent[0], hedge, calm):
            sent.append(asyncio.ensure_future(send()))
        first = await _first(sent)
        hedge.took(loop.time() - started)
        return first.result()
    finally:
        # Also if this task is cancelled: both requests end with it.
        await _give_up_all([each for each in sent if each is not first], give_up)


async def _is_late(sent: asyncio.Future[Response], hedge: Hedge, calm: Callable[[], bool]) -> bool:
    """Return True once `sent` is late and may be sent again, False if its response comes before."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        delay = hedge.delay()
        left = _LOOK_AGAIN if delay is None else started + delay - loop.time()
        if delay is not None and left <= 0:
            if calm() and hedge.spend():
                return True
            left = _LOOK_AGAIN  # an extra request may be allowed later
        done, _ = await asyncio.wait([sent], timeout=left)
        if done:
            return False


async def _first(sent: list[asyncio.Future[Response]]) -> asyncio.Future[Response]:
    """Return the first that succeeds, or the last that fails."""
    pending = set(sent)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for each in sorted(done, key=lambda each: each.exception() is not None):
            if each.exception() is None or not pending:
                return each


async def _give_up_all(
    others: list[asyncio.Future[Response]],
    give_up: Callable[[Response | BaseException], Awaitable[None]],
) -> None:
    for other in others:
        other.cancel()
    for outcome in await asyncio.gather(*others, return_exceptions=True):
        await give_up(outcome)
