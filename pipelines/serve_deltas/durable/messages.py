"""The messages of a stream of JSON (section 9.1). Pure.

    {"type": "reset", "attempt": 1}                   a text begins; what came before it is void
    {"type": "delta", "text": "Hal"}                  append
    {"type": "end", "outcome": "finished", ...}       the last message; the stream is closed

The problem: a stream of the protocol only grows, and what is at an offset never changes. But a text
may begin anew, and then Redis has the newest text alone.

The idea: each text begins with a reset, also the first one. So the stream is the log of all texts,
one after another, of which those before the newest have been compacted away. A reader that stands
in a void text goes on with what is left after its offset: a reset, and the new text.

What holds: each delta is one message or none, so messages do not depend on when a reader asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from pipelines.serve_deltas.encoders.events import added
from pipelines.serve_deltas.growing_text import News


class Messages(Protocol):
    """The messages of a stream, and its content type."""

    media_type: str

    def of(self, news: News) -> list[bytes]:
        """Return the messages that `news` brings."""

    def joined(self, messages: Sequence[bytes]) -> bytes:
        """Return the body that has `messages`."""


class JsonMessages:
    """The messages of an answer."""

    media_type = "application/json"

    def of(self, news: News) -> list[bytes]:
        """Return a reset if the text begins, a message for each delta that adds, and the end."""
        messages = [_reset(news)] if news.start == 0 else []
        for piece in news.pieces:
            if fields := added([piece]):
                messages.append(_message("delta", fields))
        if news.ending is not None:
            messages.append(_message("end", news.ending.fields))
        return messages

    def joined(self, messages: Sequence[bytes]) -> bytes:
        """Return a JSON array."""
        return b"[" + b",".join(messages) + b"]"


def _reset(news: News) -> bytes:
    return _message("reset", {"attempt": news.rank[1]})


def _message(type: str, fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": type, **fields})
