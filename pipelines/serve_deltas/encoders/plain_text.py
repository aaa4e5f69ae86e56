"""The text alone, as it grows: for `curl` and for logs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.serve_deltas.encoders.base import SSE_HEADERS, CutOff
from pipelines.serve_deltas.growing_text import News


class PlainText:
    """Readers of the text. They cannot be told of a reset: the response breaks off."""

    media_type = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = SSE_HEADERS
    ping = b""
    later: bytes | None = None

    def begin(self, id: str) -> bool:
        """Return whether the reader has any text: no."""
        return False

    def encode(self, news: News, has_text: bool) -> tuple[bytes, bool]:
        """Return the new text. Raises CutOff when the text begins anew, and for a failed answer."""
        if news.is_reset and has_text:
            raise CutOff(b"")
        text = news.text.encode("utf-8", "replace")
        if news.ending is not None and news.ending.outcome == "failed":
            raise CutOff(text)
        return text, has_text or bool(text)

    def gone(self, has_text: bool) -> bytes:
        """Raise CutOff."""
        raise CutOff(b"")

    def leave(self) -> None:
        """Raise CutOff: the text is not whole."""
        raise CutOff(b"")
