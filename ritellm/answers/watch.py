"""Watches the chunks of a stream for an answer that cannot become valid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ritellm.answers.answer import Answer
from ritellm.answers.early import Watcher
from ritellm.answers.faults import Fault
from ritellm.types import Chunk
from ritellm.wire.answer_modes import NATIVE, TOOL


class Watch:
    """Watches the first choice of one stream; another attempt is another text."""

    def __init__(self, answer: Answer, mode: str) -> None:
        self._answer, self._mode = answer, mode
        self._attempt = 0
        self._watcher: Watcher | None = None

    def fault(self, chunks: Iterable[Chunk]) -> Fault | None:
        """Return the fault that makes the answer invalid whatever follows; None without one."""
        for chunk in chunks:
            if self._watcher is None or chunk.attempt != self._attempt:
                self._attempt = chunk.attempt
                self._watcher = Watcher(self._answer.json, prose=self._mode not in NATIVE)
            for choice in chunk.get("choices") or ():
                text = "" if choice.get("index") else self._text(choice.get("delta") or {})
                if text and (fault := self._watcher.feed(text)) is not None:
                    return fault
        return None

    def _text(self, delta: Mapping[str, Any]) -> str:
        """Return what a delta adds to the answer."""
        if self._mode != TOOL:
            text = delta.get("content")
            return text if isinstance(text, str) else ""
        calls = [call for call in delta.get("tool_calls") or () if not call.get("index")]
        texts = [(call.get("function") or {}).get("arguments") for call in calls]
        return "".join(text for text in texts if isinstance(text, str))
