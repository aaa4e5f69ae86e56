"""What a reader at an offset lacks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.serve_deltas.durable.messages import Messages
from pipelines.serve_deltas.growing_text import GrowingText
from pipelines.serve_deltas.position import Position


@dataclass(frozen=True)
class Page:
    """The messages from `start` (None: the beginning) to `end`, which is the end of the stream."""

    start: Position | None
    end: Position
    messages: Sequence[bytes]
    is_closed: bool

    @property
    def tag(self) -> str:
        """The entity tag: another one when there is more, and when the stream is closed."""
        closed = ":c" if self.is_closed else ""
        return f'"{self.start or -1}:{self.end}{closed}"'


def page(text: GrowingText, position: Position | None, messages: Messages) -> Page:
    """Return what a reader at `position` lacks of a text that has begun."""
    assert text.tail is not None
    news = text.since(position)
    found = messages.of(news) if news is not None else []
    return Page(position, text.tail, found, text.ending is not None)
