"""The chunks as OpenAI streams them, so that clients of its chat API read an answer. Pure.

OpenAI's form has no event for a text that begins anew, and none for one that has failed: the stream
ends with an error, which clients raise. They send the request again and get the newer text.
See https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipelines.serve_deltas.encoders.base import SSE_HEADERS, CutOff
from pipelines.serve_deltas.growing_text import News
from pipelines.serve_deltas.piece import Piece
from ritellm.chunks.sum import ChunkSum
from ritellm.errors import ABOUT_VALUES

_DONE = b"data: [DONE]\n\n"
_BEGINS_ANEW = "the answer begins anew: another attempt replaces it; read it again"
_HAS_FAILED = "the prompt has failed"
_IS_GONE = "the stream of the answer has disappeared before its end"


class ChatChunks:
    """Clients of OpenAI's chat API."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = SSE_HEADERS
    ping = b": \n\n"
    later: bytes | None = None

    def begin(self, id: str) -> bool:
        """Return whether the reader has any chunk: no."""
        return False

    def encode(self, news: News, has_chunks: bool) -> tuple[bytes, bool]:
        """Return the new chunks as one, and the end. Raises CutOff for a reset and a failure."""
        if news.is_reset and has_chunks:
            raise CutOff(_error(_BEGINS_ANEW, "stream_reset"))
        chunk = one_chunk(news.pieces)
        has_chunks = has_chunks or bool(chunk)
        events = b"data: " + chunk + b"\n\n" if chunk else b""
        if news.ending is None:
            return events, has_chunks
        if news.ending.error_type is not None:
            failure = news.ending.error_type
            raise CutOff(events + _error(f"{_HAS_FAILED}: {failure}", failure))
        return events + _DONE, has_chunks

    def gone(self, has_chunks: bool) -> bytes:
        """Raise CutOff, with an error."""
        raise CutOff(_error(_IS_GONE, "stream_gone"))

    def leave(self) -> None:
        """Raise CutOff: the answer is not whole."""
        raise CutOff(b"")


def one_chunk(pieces: Sequence[Piece]) -> bytes:
    """Return the JSON of the sum of `pieces`; nothing if they add nothing."""
    telling = [piece for piece in pieces if _tells(piece)]
    if len(telling) == 1:
        return orjson.dumps(telling[0].parsed)
    return orjson.dumps(summed(telling).chunk()) if telling else b""


def summed(pieces: Sequence[Piece]) -> ChunkSum:
    """Return the sum of the chunks of `pieces`; a chunk that cannot be added is left out."""
    total = ChunkSum()
    for piece in pieces:
        try:
            total.add(piece.parsed)
        except ABOUT_VALUES:
            continue
    return total


def _tells(piece: Piece) -> bool:
    """Return whether a chunk has anything: that of the final delta may be empty."""
    return not piece.ends or bool(piece.parsed["choices"]) or piece.usage is not None


def _error(message: str, kind: str) -> bytes:
    error: dict[str, Any] = {"message": message, "type": kind, "param": None, "code": kind}
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"
