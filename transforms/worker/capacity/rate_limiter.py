"""Waits for Beam's RateLimiter, whose limit holds across workers. No Beam, no HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from ritellm.errors import RateLimitError
from ritellm.rate_limits.gate import Gate

# A shorter wait is the limiter's response time and does not count as throttling, because its limits
# are per second or longer.
_RESPONSE_SECONDS = 1.0


async def wait_until_allowed(limiter: Any, gate: Gate) -> None:
    """Return once `limiter` allows a request; raises RateLimitError if it refuses.

    The gate counts a long wait, and the process reports it to the runner.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    if not await asyncio.to_thread(limiter.allow):
        raise RateLimitError("the job's own rate limiter refused the request")
    waited = loop.time() - started
    if waited > _RESPONSE_SECONDS:
        gate.hold_back(started, started + waited)
