"""Server-sent events for a plain `EventSource`. Pure.

    id: POSITION                          id: POSITION             id: POSITION
    data: {"text": "more text"}           event: reset             event: end
                                          data: {"attempt": 2}     data: {"outcome": "finished"}

A page appends the text of each message, clears its text at `reset`, and closes at `end`. The
browser sends the last id when it reconnects, so the rest follows exactly. See "Server-sent events"
in the HTML standard, https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipelines.serve_deltas.encoders.base import SSE_HEADERS
from pipelines.serve_deltas.growing_text import News
from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.position import Position


class Events:
    """Readers with an `EventSource`."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = SSE_HEADERS
    ping = b":\n\n"
    later: bytes | None = b"retry: 2000\n\n"

    def begin(self, id: str) -> None:
        """Return no state: an event tells all."""

    def encode(self, news: News, state: None) -> tuple[bytes, None]:
        """Return the events for `news`: a reset, what is new in one message, and the end."""
        events = []
        if news.is_reset:
            start = Position(*news.rank, news.start)
            events.append(event("reset", {"attempt": news.rank[1]}, start))
        if fields := added(news.pieces):
            events.append(event("", fields, _before_end(news)))
        if news.ending is not None:
            events.append(event("end", news.ending.fields, news.position))
        return b"".join(events), None

    def gone(self, state: None) -> bytes:
        """Return the event of an answer that has disappeared: nothing follows it."""
        return event("gone", {}, None)

    def leave(self) -> None:
        """Return: the browser reconnects with its last id."""


def _before_end(news: News) -> Position:
    """Return where a reader is with the new text alone: one that loses the end gets it again."""
    is_apart = news.ending is not None and not added(news.pieces[-1:])
    return news.position._replace(next=news.position.next - is_apart)


def added(pieces: Sequence[Piece]) -> dict[str, Any]:
    """Return what `pieces` add: text, reasoning, and parts of tool calls; each only if any."""
    text = "".join([piece.text for piece in pieces])
    reasoning = "".join([piece.reasoning for piece in pieces])
    calls = [call for piece in pieces for call in piece.tool_calls]
    fields = {"text": text, "reasoning": reasoning, "tool_calls": calls}
    return {name: value for name, value in fields.items() if value}


def event(name: str, data: Mapping[str, Any], position: Position | None) -> bytes:
    """Return one event; JSON has no line breaks."""
    head = f"event: {name}\n" if name else ""
    id = f"id: {position}\n" if position is not None else ""
    return f"{id}{head}data: ".encode() + orjson.dumps(data) + b"\n\n"
