"""Decode responses of Gemini's generateContent: https://ai.google.dev/api/generate-content.

`candidates` decodes the parts; this module does the rest. A stream has no terminator: it is
complete when every candidate has a finishReason, or when the prompt is blocked. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ritellm.chunks.usage import both, count_of, merged, sum_of
from ritellm.errors import APIResponseValidationError, BadRequestError
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.base import Event
from ritellm.wire.chunks import total
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.google import stream_error
from ritellm.wire.framing.sse import SSE
from ritellm.wire.gemini.candidates import FINAL, MALFORMED, Candidate, Choice
from ritellm.wire.payload import parse_json

# The counts that have names of OpenAI's.
_COUNTS = frozenset(
    f"{what}TokenCount" for what in ("prompt", "candidates", "total", "thoughts", "cachedContent")
)
_TOP = frozenset("candidates usageMetadata modelVersion responseId createTime".split())


def new_framing() -> SSE:
    """Return the framing of a streamed response: server-sent events."""
    return SSE()


def new_decoder(request: Request) -> GeminiDecoder:
    """Return a decoder for one streamed response."""
    return GeminiDecoder()


class GeminiDecoder:
    """Turns the events of one stream into chunks; each event has the shape of a whole response."""

    __slots__ = ("_candidates", "_head", "_usage", "done")
    has_terminator = False

    def __init__(self) -> None:
        self.done = False
        self._head: dict[str, Any] = {}
        self._candidates: dict[int, Candidate] = {}
        self._usage: dict[str, Any] = {}

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunk of `event`; raises the error in it."""
        self.add(parse_json(event[1]), into)

    def add(self, payload: Any, into: list[Chunk]) -> None:
        """Append the chunk of `payload`."""
        if isinstance(payload, list) and payload:  # what `streamGenerateContent` is without SSE
            for each in payload:
                self.add(each, into)
            return
        if not isinstance(payload, dict):
            raise APIResponseValidationError(f"not a response of Gemini: {payload!r:.200}")
        if payload.get("error"):
            raise stream_error(payload)
        if self._head.get("id") is None:
            self._head = _head(payload)  # every event repeats it
        candidates = payload.get("candidates") or ()
        if not candidates and (error := vendor_error(payload)):
            raise error
        choices: list[Choice] = []
        for position, each in enumerate(candidates):
            index = each.get("index", position)
            index = index if isinstance(index, int) else position
            candidate = self._candidates.get(index) or self._new_candidate(index)
            choices.append(candidate.choice(each))
        feedback = payload.get("promptFeedback")
        if not self._candidates and (feedback or {}).get("blockReason"):
            choices = [_blocked(feedback)]
            self.done = True
        chunk = Chunk(self._head)
        if not payload.keys() <= _TOP:
            chunk.update(_kept(payload))
        if isinstance(counted := payload.get("usageMetadata"), dict):
            self._usage = merged(self._usage, counted)
            chunk["usage"] = usage(self._usage)
        chunk["choices"] = choices
        into.append(chunk)
        for each in candidates:
            if each.get("finishReason") is not None:
                _refuse_broken(each)

    def _new_candidate(self, index: int) -> Candidate:
        candidate = self._candidates[index] = Candidate(index, self._head.get("id"))
        return candidate


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response.

    Takes a list too, which is a stream whose `alt=sse` was lost.
    """
    chunks: list[Chunk] = []
    decoder = GeminiDecoder()
    for payload in body if isinstance(body, list) else [body]:
        decoder.add(payload, chunks)
    completion = total(chunks)
    if not completion["choices"]:
        found = ", ".join(body) if isinstance(body, dict) else "nothing"
        raise APIResponseValidationError(
            f"the response must have candidates, got the fields {found}"
        )
    return completion


def usage(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return usage under OpenAI's names; Gemini counts thoughts and results of tools separately.

    A missing count is zero, since Google's JSON leaves out zeros.
    """
    thoughts, cached = raw.get("thoughtsTokenCount"), raw.get("cachedContentTokenCount")
    prompt = sum_of(raw.get("promptTokenCount"), raw.get("toolUsePromptTokenCount"))
    output = sum_of(raw.get("candidatesTokenCount"), thoughts)
    counted: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": count_of(raw.get("totalTokenCount")) or both(prompt, output),
    }
    if cached is not None and (cached := count_of(cached)) is not None:
        counted["prompt_tokens_details"] = {"cached_tokens": cached}
    if thoughts is not None and (thoughts := count_of(thoughts)) is not None:
        counted["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    if not raw.keys() <= _COUNTS:
        counted |= {k: v for k, v in raw.items() if k not in _COUNTS}
    return counted


def _head(payload: Mapping[str, Any]) -> dict[str, Any]:
    head = {
        "id": payload.get("responseId"),
        "object": "chat.completion.chunk",
        "created": _seconds(payload.get("createTime")),
        "model": payload.get("modelVersion"),
    }
    return {key: value for key, value in head.items() if value is not None}


def _seconds(time: str | None) -> int | None:
    """Return a time like "2026-10-01T12:00:00.123456Z" (Vertex's) in Unix seconds, or None."""
    try:
        begun = datetime.fromisoformat(time[:19]) if time else None
    except ValueError:
        return None  # a bad time must not fail a completion that is paid for
    return int(begun.replace(tzinfo=timezone.utc).timestamp()) if begun else None


def _kept(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in payload.items() if v is not None and k not in _TOP}


def _blocked(feedback: Any) -> Choice:
    """Return the choice for a blocked prompt: empty and complete."""
    delta = {"role": "assistant", "provider_specific_fields": {"promptFeedback": feedback}}
    return {"index": 0, "delta": delta, "finish_reason": "content_filter"}


def _refuse_broken(candidate: Mapping[str, Any]) -> None:
    """Raise if `candidate` ended in an error."""
    reason = candidate.get("finishReason")
    if reason not in MALFORMED and reason not in FINAL:
        return
    detail = candidate.get("finishMessage")
    message = f"Gemini stopped with finishReason {reason}" + (f": {detail}" if detail else "")
    if reason in MALFORMED:
        raise APIResponseValidationError(message, code=reason, retryable=True)
    raise BadRequestError(message, code=reason)
