"""The text alone, as it grows: for `curl` and for logs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.serve_deltas.encoders.base import SSE_HEADERS, CutOff
from pipelines.serve_deltas.growing_text import News


class PlainText:
    """One reader of the text. It cannot be told of a reset: its response breaks off."""

    media_type = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = SSE_HEADERS
    ping = b""
    later: bytes | None = None

    def __init__(self, id: str) -> None:
        del id
        self._has_text = False

    def encode(self, news: News) -> bytes:
        """Return the new text. Raises CutOff when the text begins anew, and for a failed answer."""
        if news.is_reset and self._has_text:
            raise CutOff(b"")
        text = news.text.encode("utf-8", "replace")
        self._has_text = self._has_text or bool(text)
        if news.ending is not None and news.ending.outcome == "failed":
            raise CutOff(text)
        return text

    def gone(self) -> bytes:
        """Raise CutOff."""
        raise CutOff(b"")

    def leave(self) -> None:
        """Raise CutOff: the text is not whole."""
        raise CutOff(b"")
