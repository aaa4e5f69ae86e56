"""The inbox of a job of this process: `stream_complete --serve --serve_prompts`."""

from __future__ import annotations

from pipelines.serve_deltas.prompts.queues.base import QueueFull
from pipelines.sources.inbox import Inbox


class ProcessQueue:
    """The prompts that wait in this process. They are lost with it."""

    def __init__(self, prompts: Inbox) -> None:
        self._prompts = prompts

    async def check(self) -> None:
        """There is nothing to check."""

    async def put(self, id: str, row: bytes) -> None:
        """Add a prompt. Raises QueueFull."""
        if not self._prompts.put(id, row):
            raise QueueFull(f"{self._prompts.most:,} prompts are waiting")

    async def aclose(self) -> None:
        """There is nothing to close."""
