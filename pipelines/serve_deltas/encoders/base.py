"""What all forms have in common. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

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
    """Turns what readers lack into the bytes of their responses.

    It keeps nothing for a reader. What the bytes depend on, besides the news, is the `state`, so
    readers with the same state share them.
    """

    media_type: str
    headers: Mapping[str, str]
    # Sent now and then, by which a reader that has left is noticed; empty if the form has none.
    ping: bytes
    # The body of a response that tells the reader to come back later; None if the form has none.
    later: bytes | None

    def begin(self, id: str) -> Hashable:
        """Return the state of a reader of `id` that has nothing yet."""

    def encode(self, news: News, state: Any) -> tuple[bytes, Hashable]:
        """Return the bytes for `news`, and the next state. Raises CutOff."""

    def gone(self, state: Any) -> bytes:
        """Return the bytes for an answer whose stream has disappeared. Raises CutOff."""

    def leave(self) -> None:
        """Return if the response may end in order before the answer does. Raises CutOff."""
