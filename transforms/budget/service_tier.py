"""The service tier of a request, which its price depends on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tier_requested(request: Mapping[str, Any]) -> str | None:
    """Return the service tier that a request names; the one in `extra_body` overrides the other."""
    extra = request.get("extra_body")
    for body in (extra if isinstance(extra, Mapping) else {}, request):
        for name in ("service_tier", "serviceTier", "speed"):
            tier = body.get(name)
            tier = tier.get("type") if isinstance(tier, Mapping) else tier  # Bedrock
            if tier:
                return str(tier)
    return None
