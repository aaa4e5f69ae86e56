"""The UI message stream of Vercel's AI SDK, for `useChat` and `readUIMessageStream`. Pure.

One event for each part of a message, with the header `x-vercel-ai-ui-message-stream: v1`. The parts
are those of `packages/ai/src/ui-message-stream/ui-message-chunks.ts` in github:vercel/ai, in
versions 6 and 7. They refuse an unknown part, and only version 7 has one for a step that begins
anew (`reset-step`). So a reset ends the step, and a part `data-reset` says so: a page shows the
parts after the last `data-reset`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


class UiMessages:
    """One reader with the AI SDK. It gets text and reasoning; tool calls are left out."""

    media_type = "text/event-stream"
    headers: Mapping[str, str] = {**SSE_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
    ping = b": \n\n"
    later: bytes | None = None

    def __init__(self, id: str) -> None:
        self._id = id
        self._open: str | None = None  # the kind of the part that grows: text or reasoning
        self._parts = 0
        self._has_begun = False

    def encode(self, news: News) -> bytes:
        """Return the parts for `news`."""
        parts = [] if self._has_begun else [{"type": "start", "messageId": self._id}, _STEP]
        if news.is_reset and self._has_begun:
            data = {"type": "data-reset", "data": {"attempt": news.rank[1]}}
            parts += [*self._closed(), _STEP_END, data, _STEP]
        self._has_begun = True
        parts += self._grown(news.pieces)
        if news.ending is not None:
            parts += [*self._closed(), *_ended(news.ending)]
        body = b"".join([b"data: " + orjson.dumps(part) + b"\n\n" for part in parts])
        return body if news.ending is None else body + _DONE

    def gone(self) -> bytes:
        """Return the parts for an answer that has disappeared."""
        error = {"type": "error", "errorText": "the stream of the answer has disappeared"}
        return b"data: " + orjson.dumps(error) + b"\n\n" + _DONE

    def leave(self) -> None:
        """Return: without its last part the message is not finished."""

    def _grown(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Return the parts for new text and reasoning: neighbours of one kind together."""
        parts: list[dict[str, Any]] = []
        for kind, text in _runs(pieces):
            if self._open != kind:
                parts += self._closed()
                self._open = kind
                self._parts += 1
                parts.append({"type": f"{kind}-start", "id": self._name})
            parts.append({"type": f"{kind}-delta", "id": self._name, "delta": text})
        return parts

    def _closed(self) -> list[dict[str, Any]]:
        kind, self._open = self._open, None
        return [] if kind is None else [{"type": f"{kind}-end", "id": self._name}]

    @property
    def _name(self) -> str:
        return str(self._parts)


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
