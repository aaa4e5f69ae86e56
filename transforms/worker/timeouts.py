"""How long a job waits for the answer to one prompt. No Beam, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.calls import arguments
from ritellm.types import Timeouts

# The `total` of each prompt where the job sets none: long reasoning takes half an hour, and a
# stream that trickles for ever must end.
TOTAL_SECONDS = 3600.0


def timeouts_of(params: Mapping[str, Any]) -> Timeouts:
    """Return the timeouts that a job with these arguments of `completion` has for each prompt.

    A `Timeouts` counts as it is; anything else gets a `total`. Raises InvalidRequestError.
    """
    given = params.get("timeout")
    given = given if given is not None else params.get("request_timeout")
    limits = arguments.timeouts(given)
    return limits if isinstance(given, Timeouts) else with_total(limits)


def with_total(limits: Timeouts) -> Timeouts:
    """Return `limits` with a total of an hour, or of twice `first_chunk` if that is longer."""
    return replace(limits, total=max(TOTAL_SECONDS, 2 * (limits.first_chunk or 0.0)))
