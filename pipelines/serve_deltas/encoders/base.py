"""What all forms have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pipelines.serve_deltas.growing_text import News

SSE_HEADERS = {
    # Proxies (nginx among them) would collect events until a buffer is full.
    "X-Accel-Buffering": "no",
}


class CutOff(Exception):
    """The reader's form cannot say what has happened, so the response must not end in order.

    `last` is what may still be sent. A response that breaks off is no complete answer.
    """


class Encoder(Protocol):
    """Turns what one reader lacks into the bytes of its response."""

    media_type: str
    headers: Mapping[str, str]
    # Sent now and then, by which a reader that has left is noticed; empty if the form has none.
    ping: bytes
    # The body of a response that tells the reader to come back later; None if the form has none.
    later: bytes | None

    def encode(self, news: News) -> bytes:
        """Return the bytes for `news`. Raises CutOff."""

    def gone(self) -> bytes:
        """Return the bytes for an answer whose stream has disappeared. Raises CutOff."""

    def leave(self) -> None:
        """Return if the response may end in order before the answer does. Raises CutOff."""
