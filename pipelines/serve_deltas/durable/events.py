"""Pages as server-sent events (section 5.8). Pure but for the clock that it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pipelines.serve_deltas.durable.headers import next_cursor
from pipelines.serve_deltas.durable.messages import Messages
from pipelines.serve_deltas.encoders.base import SSE_HEADERS, CutOff
from pipelines.serve_deltas.growing_text import News
from pipelines.serve_deltas.position import Position

_BREAK = re.compile(rb"\r\n|\r|\n")


class LiveEvents:
    """Readers of the live mode with the same cursor: an encoder like those of the other forms."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = {**SSE_HEADERS, "Cache-Control": "no-cache, no-store"}
    ping = b":\n\n"
    later: bytes | None = None

    def __init__(self, messages: Messages, cursor: int | None, clock: Callable[[], float]) -> None:
        self._messages, self._cursor, self._clock = messages, cursor, clock

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiveEvents) and self._same == other._same

    def __hash__(self) -> int:
        return hash(self._same)

    @property
    def _same(self) -> object:
        return self._messages, self._cursor

    def begin(self, id: str) -> None:
        """Return no state: an event tells all."""

    def encode(self, news: News, state: None) -> tuple[bytes, None]:
        """Return the messages in one event, and where the reader is then."""
        found = self._messages.of(news)
        data = _event("data", self._messages.joined(found)) if found else b""
        return data + self.control(news.position, is_closed=news.ending is not None), None

    def control(self, end: Position, *, is_closed: bool) -> bytes:
        """Return the event that says where the reader is: at the end of the stream."""
        told: dict[str, Any] = {"streamNextOffset": str(end), "upToDate": True}
        told |= (
            {"streamClosed": True}
            if is_closed
            else {"streamCursor": next_cursor(self._cursor, self._clock())}
        )
        return _event("control", orjson.dumps(told))

    def gone(self, state: None) -> bytes:
        """Raise CutOff: the reader comes back, and gets status 410."""
        raise CutOff(b"")

    def leave(self) -> None:
        """Return: the reader comes back with its offset."""


def _event(name: str, body: bytes) -> bytes:
    # Readers drop one space after the colon, so a line that begins with one gets another.
    fields = [b" " + line if line[:1] == b" " else line for line in _BREAK.split(body)]
    lines = b"".join([b"data:" + field + b"\n" for field in fields])
    return b"event: " + name.encode() + b"\n" + lines + b"\n"
