"""The timeouts of a job for each prompt. No Beam, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.calls import arguments
from ritellm.types import Timeouts

# The `total` of each prompt if the job sets none: long reasoning takes half an hour, and a stream
# that trickles forever must end.
TOTAL_SECONDS = 3600.0


def timeouts_of(params: Mapping[str, Any]) -> Timeouts:
    """Return the timeouts of each prompt in a job with these parameters of `completion`.

    A `Timeouts` is used unchanged; any other value gets a `total`. Raises InvalidRequestError.
    """
    given = params.get("timeout")
    given = given if given is not None else params.get("request_timeout")
    limits = arguments.timeouts(given)
    return limits if isinstance(given, Timeouts) else with_total(limits)


def with_total(limits: Timeouts) -> Timeouts:
    """Return `limits` with a total of an hour, or of twice `first_chunk` if that is longer."""
    return replace(limits, total=max(TOTAL_SECONDS, 2 * (limits.first_chunk or 0.0)))
