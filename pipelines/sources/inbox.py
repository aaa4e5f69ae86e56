"""Prompts that arrive over HTTP in this process, beside those of another source.

The steps of the job are pickled, so the reader finds the inbox of the process here.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipelines.sources.base import Consumer, Message, Source, SourceEnded

_MOST = 1_000
# The receipt of a message of the inbox, which nothing delivers again.
_NONE = object()


class Inbox:
    """Prompts that wait for the job. Usable from any thread."""

    def __init__(self, most: int = _MOST) -> None:
        self.most = most
        self._queue: queue.Queue[Message] = queue.Queue(most)

    def put(self, id: str, row: bytes) -> bool:
        """Add a prompt; return False if the inbox is full."""
        try:
            self._queue.put_nowait(Message(row, id, "a prompt over HTTP", _NONE))
        except queue.Full:
            return False
        return True

    def take(self, seconds: float) -> Message | None:
        """Return the next prompt, None if none arrives within `seconds`."""
        try:
            return self._queue.get(seconds > 0, seconds or None)
        except queue.Empty:
            return None


@cache
def inbox() -> Inbox:
    """Return the inbox of this process."""
    return Inbox()


@dataclass(frozen=True)
class WithInbox:
    """The inbox of the process, and the messages of `source`. It does not end with the source."""

    source: Source

    def check(self) -> None:
        """Raise SourceUnavailable unless the source exists and can be reached."""
        self.source.check()

    def __call__(self) -> Consumer:
        """Return the consumer of both; raises SourceUnavailable."""
        return _Consumer(self.source(), inbox())


class _Consumer:
    def __init__(self, consumer: Consumer, prompts: Inbox) -> None:
        self._consumer, self._prompts, self._is_over = consumer, prompts, False
        self.keep, self.close = consumer.keep, consumer.close

    def poll(self, seconds: float) -> Message | None:
        """Return the next message; those of the inbox come first."""
        message = self._prompts.take(seconds if self._is_over else 0)
        if message is not None or self._is_over:
            return message
        try:
            return self._consumer.poll(seconds)
        except SourceEnded:
            self._is_over = True
            return None

    def settle(self, receipts: Sequence[Any]) -> None:
        """Acknowledge the messages of the source."""
        if given := [receipt for receipt in receipts if receipt is not _NONE]:
            self._consumer.settle(given)
