"""What the endpoint needs to know of ids."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

# Seconds for which a claim holds whose prompt is on its way into the source.
CLAIM_SECONDS = 30


class Claim(Enum):
    """How the claim of an id ends."""

    NEW = "new"  # it was free
    TAKEN = "taken"  # the same prompt has been taken before
    BUSY = "busy"  # the same prompt is being taken
    OTHER = "other"  # another prompt, or an answer, has the id


class Claims(Protocol):
    """The ids of the prompts that were taken lately. Raises StoreUnavailable."""

    async def claim(self, id: str, digest: str) -> Claim:
        """Claim the id for the prompt with `digest`."""

    async def confirm(self, id: str, digest: str) -> None:
        """Record that the claimed prompt is in the source."""

    async def release(self, id: str) -> None:
        """Give the id back: the claimed prompt is not in the source."""

    async def aclose(self) -> None:
        """Close connections."""
