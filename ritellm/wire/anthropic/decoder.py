"""Decode responses of Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages.

`blocks` decodes the content blocks; this module does the rest. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.usage import added, both, counts_in, merged
from ritellm.errors import APIResponseValidationError
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.anthropic.blocks import Delta, MessageState, open_block
from ritellm.wire.anthropic.content import FIELDS, LAYOUT
from ritellm.wire.base import Event
from ritellm.wire.chunks import chunk, total
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.google import stream_error
from ritellm.wire.finish import finish_reason
from ritellm.wire.framing.sse import SSE
from ritellm.wire.layout import is_plain
from ritellm.wire.payload import json_object

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# For these, our finish_reason says as much as Anthropic's stop_reason.
_EQUIVALENT = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})
_MESSAGE = frozenset("id type role model content usage".split())
_STOP = frozenset("stop_reason stop_sequence stop_details".split())


def new_framing() -> SSE:
    """Return the framing of a streamed response: server-sent events."""
    return SSE()


def new_decoder(request: Request) -> AnthropicDecoder:
    """Return a decoder for one streamed response."""
    return AnthropicDecoder()


class AnthropicDecoder:
    """Turns the events of one stream into chunks.

    Progress that OpenAI's shape cannot express, such as a tool that Anthropic runs, becomes an
    empty chunk, so that it does not look like silence.
    """

    __slots__ = ("_blocks", "_head", "_state", "_usage", "done")

    def __init__(self) -> None:
        self.done = False
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._state = MessageState()
        self._blocks: dict[int, Any] = {}

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunk of `event`; raises the error in it."""
        kind, data = event
        payload = json_object(data)
        name = payload.get("type")
        if kind == "error" or name == "error" or payload.get("error"):
            raise stream_error(payload)
        if name == "content_block_delta":
            self._continue(payload.get("index") or 0, payload.get("delta") or {}, into)
        elif name == "content_block_start":
            self._open(payload.get("index") or 0, payload.get("content_block") or {}, into)
        elif name == "content_block_stop":
            self._close(payload.get("index") or 0, into)
        elif name == "message_start":
            self._start(payload.get("message") or {}, into)
        elif name == "message_delta":
            self._finish(payload, into)
        elif name == "message_stop":
            self._close_all(into)
            self.done = True
        elif name == "message" and isinstance(payload.get("content"), list):
            self.message(payload, into)  # a whole response instead of events
        elif name is None and (error := vendor_error(payload)):
            raise error

    def message(self, body: Mapping[str, Any], into: list[Chunk]) -> None:
        """Append the chunks of an unstreamed message."""
        stop = {key: body.get(key) for key in _STOP}
        self._start({key: value for key, value in body.items() if key not in _STOP}, into)
        for index, block in enumerate(body["content"]):
            self._open(index, block, into)
            self._close(index, into)
        self._finish({"delta": stop}, into)
        self.done = True

    def _start(self, message: Mapping[str, Any], into: list[Chunk]) -> None:
        self._head = {"id": message.get("id"), "model": message.get("model")}
        delta: Delta = {"role": "assistant"}
        if kept := _kept(message, _MESSAGE | _STOP):
            delta["provider_specific_fields"] = kept
        self._add(delta, into, **self._count(message.get("usage")))

    def _open(self, index: int, block: Mapping[str, Any], into: list[Chunk]) -> None:
        self._close(index, into)  # some servers close no block, and number all of them 0
        self._blocks[index] = opened = open_block(block, index, self._state)
        self._add(opened.open(), into)

    def _continue(self, index: int, delta: Mapping[str, Any], into: list[Chunk]) -> None:
        block = self._blocks.get(index)
        if block is None:  # some compatible servers send no content_block_start
            self._blocks[index] = block = open_block({"type": "text"}, index, self._state)
        added = block.delta(delta)
        if added is not None:
            into.append(chunk(added, self._head, finish_reason=None))

    def _close(self, index: int, into: list[Chunk]) -> None:
        block = self._blocks.pop(index, None)
        if block is not None:
            self._add(block.close(), into)

    def _close_all(self, into: list[Chunk]) -> None:
        for index in [*self._blocks]:
            self._close(index, into)

    def _finish(self, payload: Mapping[str, Any], into: list[Chunk]) -> None:
        delta = payload.get("delta") or {}
        reason = delta.get("stop_reason")
        ours = finish_reason(reason, _FINISH_REASONS, called=bool(self._state.calls))
        if ours:
            self._close_all(into)
        kept = {**_kept(payload, {"type", "delta", "usage"}), **_kept(delta, {"stop_reason"})}
        if ours and reason not in _EQUIVALENT:
            kept["stop_reason"] = reason
        if ours and not is_plain(self._state.layout, FIELDS):
            kept[LAYOUT] = self._state.layout
        added: Delta = {"provider_specific_fields": kept} if kept else {}
        self._add(added, into, ours, **self._count(payload.get("usage")))

    def _add(
        self, delta: Delta | None, into: list[Chunk], finish_reason: str | None = None, **head: Any
    ) -> None:
        if delta is not None:
            into.append(chunk(delta, {**self._head, **head}, finish_reason=finish_reason))

    def _count(self, usage: Any) -> dict[str, Any]:
        """Return the usage so far; later counts replace earlier ones, field by field."""
        if isinstance(usage, Mapping):
            self._usage = merged(self._usage, _kept(usage, ()))
        return {"usage": _usage(self._usage)} if self._usage else {}


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response."""
    if not isinstance(body, dict):
        raise APIResponseValidationError("the response must be a JSON object")
    if body.get("type") == "error" or body.get("error"):
        raise stream_error(body)
    if not isinstance(body.get("content"), list):
        if error := vendor_error(body):
            raise error
        raise APIResponseValidationError(
            f"the message must have a list of content, got the fields {', '.join(body)}"
        )
    chunks: list[Chunk] = []
    AnthropicDecoder().message(body, chunks)
    return total(chunks)


def _kept(fields: Mapping[str, Any], known: Any) -> dict[str, Any]:
    """Return the fields that are neither `known` nor None, unchanged."""
    return {k: v for k, v in fields.items() if v is not None and k not in known}


def _usage(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return usage under OpenAI's names; Anthropic counts cached tokens separately."""
    counts = counts_in(raw)
    read = counts.get("cache_read_input_tokens")
    written = counts.get("cache_creation_input_tokens")
    prompt = added(raw, "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    output = added(raw, "output_tokens")
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": both(prompt, output),
    }
    if read is not None or written is not None:
        usage["prompt_tokens_details"] = {
            "cached_tokens": read or 0,
            "cache_creation_tokens": written or 0,
        }
    thoughts = counts.get("output_tokens_details", {}).get("thinking_tokens")
    if thoughts is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    return {**usage, **_kept(raw, {"input_tokens", "output_tokens"})}
