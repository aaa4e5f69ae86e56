"""What the endpoint needs of the source of a job."""

from __future__ import annotations

from typing import Protocol


class QueueUnavailable(Exception):
    """The prompt is not in the source; the message is one line."""


class QueueFull(Exception):
    """Too many prompts wait in the source."""


class PromptQueue(Protocol):
    """A source that a job reads. Errors are QueueUnavailable."""

    async def check(self) -> None:
        """Raise QueueUnavailable unless the source exists and can be reached."""

    async def put(self, id: str, row: bytes) -> None:
        """Put a row, which is JSON. It is there when this returns. Raises QueueFull, too."""

    async def aclose(self) -> None:
        """Close connections."""
