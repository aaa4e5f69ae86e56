"""The UI message stream of Vercel's AI SDK, for `useChat` and `readUIMessageStream`. Pure.

One event for each part of a message, with the header `x-vercel-ai-ui-message-stream: v1`. The parts
are those of `packages/ai/src/ui-message-stream/ui-message-chunks.ts` in github:vercel/ai, in
versions 6 and 7. They refuse an unknown part, and only version 7 has one for a step that begins
anew (`reset-step`). So a reset ends the step, and a part `data-reset` says so: a page shows the
parts after the last `data-reset`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from pipelines.serve_deltas.encoders.base import SSE_HEADERS
from pipelines.serve_deltas.growing_text import Ending, News
from pipelines.serve_deltas.piece import Piece

_DONE = b"data: [DONE]\n\n"
# Our finish reasons, where the SDK has another word. Others are "other".
_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
}


class Told(NamedTuple):
    """What a reader has of its message."""

    id: str
    open: str | None = None  # the kind of the part that grows: text or reasoning
    parts: int = 0
    has_begun: bool = False


class UiMessages:
    """Readers with the AI SDK. They get text and reasoning; tool calls are left out."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = {**SSE_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
    ping = b": \n\n"
    later: bytes | None = None

    def begin(self, id: str) -> Told:
        """Return that nothing was told."""
        return Told(id)

    def encode(self, news: News, told: Told) -> tuple[bytes, Told]:
        """Return the parts for `news`."""
        message = _Message(told)
        message.add(news)
        body = b"".join([b"data: " + orjson.dumps(part) + b"\n\n" for part in message.parts])
        return body if news.ending is None else body + _DONE, message.told

    def gone(self, told: Told) -> bytes:
        """Return the parts for an answer that has disappeared."""
        error = {"type": "error", "errorText": "the stream of the answer has disappeared"}
        return b"data: " + orjson.dumps(error) + b"\n\n" + _DONE

    def leave(self) -> None:
        """Return: without its last part the message is not finished."""


class _Message:
    """The parts that are new, and what a reader has been told with them."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.parts: list[dict[str, Any]] = []

    def add(self, news: News) -> None:
        """Add what `news` brings."""
        if not self.told.has_begun:
            self.parts += [{"type": "start", "messageId": self.told.id}, _STEP]
        elif news.is_reset:
            data = {"type": "data-reset", "data": {"attempt": news.rank[1]}}
            self._close()
            self.parts += [_STEP_END, data, _STEP]
        self.told = self.told._replace(has_begun=True)
        for kind, text in _runs(news.pieces):
            self._grow(kind, text)
        if news.ending is not None:
            self._close()
            self.parts += _ended(news.ending)

    def _grow(self, kind: str, text: str) -> None:
        if self.told.open != kind:
            self._close()
            self.told = self.told._replace(open=kind, parts=self.told.parts + 1)
            self._part(f"{kind}-start")
        self._part(f"{kind}-delta", delta=text)

    def _close(self) -> None:
        if self.told.open is not None:
            self._part(f"{self.told.open}-end")
        self.told = self.told._replace(open=None)

    def _part(self, type: str, **fields: str) -> None:
        self.parts.append({"type": type, "id": str(self.told.parts), **fields})


_STEP: dict[str, Any] = {"type": "start-step"}
_STEP_END: dict[str, Any] = {"type": "finish-step"}


def _runs(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Return (kind, text) of the new text, in order; neighbours of one kind are joined."""
    runs: list[tuple[str, str]] = []
    for piece in pieces:
        for kind, text in (("reasoning", piece.reasoning), ("text", piece.text)):
            if not text:
                continue
            if runs and runs[-1][0] == kind:
                text = runs.pop()[1] + text
            runs.append((kind, text))
    return runs


def _ended(ending: Ending) -> list[dict[str, Any]]:
    if ending.error_type is not None:
        return [{"type": "error", "errorText": f"the prompt has failed: {ending.error_type}"}]
    if ending.outcome == "stopped":
        return [{"type": "abort"}]
    reason = _REASONS.get(ending.finish_reason or "", "other")
    return [_STEP_END, {"type": "finish", "finishReason": reason}]
