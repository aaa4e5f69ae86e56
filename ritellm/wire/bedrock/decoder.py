"""Decode responses of Bedrock's Converse API into chunks.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.
No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from ritellm.chunks.usage import added, both, counts_in, merged
from ritellm.errors import APIError, APIResponseValidationError, InternalServerError
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.base import Event
from ritellm.wire.bedrock.blocks import annotation, image_url, whole_block
from ritellm.wire.bedrock.content import FIELDS, LAYOUT
from ritellm.wire.chunks import chunk, total
from ritellm.wire.errors.bedrock import document_error, stream_error
from ritellm.wire.finish import finish_reason
from ritellm.wire.framing.aws_eventstream import BARE, EventStream
from ritellm.wire.layout import is_plain
from ritellm.wire.payload import json_object, parse_json
from ritellm.wire.request import present

Payload = Mapping[str, Any]

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})

_EXCEPTION = "exception:"
# Kinds of blocks that some models announce by a start event, and others do not.
_ANNOUNCED = frozenset({"reasoningContent", "text"})

# The fields with a place in a chunk; a whole response and the last event of a stream have others.
_PLACED = frozenset({"output", "stopReason", "usage", "serviceTier", "p"})


def new_framing() -> EventStream:
    """Return the framing of a streamed response: Amazon's event stream."""
    return EventStream()


def new_decoder(request: Request) -> BedrockDecoder:
    """Return a decoder for one streamed response."""
    return BedrockDecoder()


class BedrockDecoder:
    """Turns the events of one stream into chunks. Usage arrives last, in `metadata`."""

    __slots__ = (
        "_calls",
        "_counted",
        "_images",
        "_kept",
        "_layout",
        "_pending_error",
        "_stopped",
        "_usage",
        "done",
    )

    def __init__(self) -> None:
        self.done = False
        # By contentBlockIndex.
        self._layout: dict[int, dict[str, Any]] = {}  # the item of each block
        self._kept: dict[int, list[Payload]] = {}  # pieces of blocks that chat cannot express
        self._images: dict[int, list[Payload]] = {}  # pieces of images
        self._calls: dict[int, int] = {}  # the index of the tool call
        # What `metadata` brings or completes.
        self._pending_error: APIError | None = None  # raised once the usage has arrived
        self._usage: dict[str, Any] = {}
        self._stopped = self._counted = False  # messageStop, metadata have come

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunk of `event`; raises the error in it."""
        kind, data = event
        if kind.startswith(_EXCEPTION):
            raise stream_error(kind.removeprefix(_EXCEPTION), json_object(data or b"{}"))
        if kind == BARE:
            raise document_error(parse_json(data))
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, json_object(data), into)

    def message_start(self, payload: Payload, into: list[Chunk]) -> None:
        """Append the role."""
        into.append(chunk({"role": payload.get("role") or "assistant"}))

    def block_start(self, payload: Payload, into: list[Chunk]) -> None:
        """Append the head of a tool call; keep the head of a block that chat cannot express."""
        index, start = payload.get("contentBlockIndex", 0), payload.get("start") or {}
        call = start.get("toolUse")
        if "image" in start:
            self._image(index, start["image"])
        elif call and not call.get("type"):
            self._layout[index] = {"from": "tool_calls"}
            position = self._calls.setdefault(index, len(self._calls))
            function = {"name": call.get("name"), "arguments": ""}
            head = {"index": position, "id": call.get("toolUseId"), "type": "function"}
            into.append(chunk({"tool_calls": [{**head, "function": function}]}))
        elif start.keys() & _ANNOUNCED:
            # The block's deltas decide what it is; most announcements are empty.
            if any(start.values()):
                self.block_delta({"contentBlockIndex": index, "delta": start}, into)
        elif start:
            self._keep(index, start, into)

    def block_delta(self, payload: Payload, into: list[Chunk]) -> None:
        """Append a piece of a block. Text has no start event."""
        index, delta = payload.get("contentBlockIndex", 0), payload.get("delta") or {}
        if index in self._kept:
            self._keep(index, delta, into)
        elif "text" in delta:
            self._text(index, delta["text"], into)
        elif "reasoningContent" in delta:
            self._thought(index, delta["reasoningContent"], into)
        elif "toolUse" in delta:
            self._arguments(index, delta["toolUse"].get("input") or "", into)
        elif "image" in delta:
            self._image(index, delta["image"])
        elif "citation" in delta:
            into.append(chunk({"annotations": [annotation(delta["citation"])]}))
        else:
            self._keep(index, delta, into)

    def block_stop(self, payload: Payload, into: list[Chunk]) -> None:
        """Append an image that is now whole, or the arguments of a call without any."""
        index = payload.get("contentBlockIndex", 0)
        if index in self._images:
            into.append(chunk({"images": [image_url(self._images.pop(index))]}))
        elif index in self._calls and "pieces" not in self._layout[index]:
            self._arguments(index, "{}", into)

    def message_stop(self, payload: Payload, into: list[Chunk]) -> None:
        """Append the finish reason; an error is raised later, after the usage."""
        reason = payload.get("stopReason")
        if reason in _BROKEN:
            self._pending_error = InternalServerError(f"the model ended with {reason}", code=reason)
            self._stopped = True
            self._close()
            return
        layout = [self._layout_item(index) for index in sorted(self._layout)]
        plain = is_plain(layout, FIELDS)
        delta = {} if plain else {"provider_specific_fields": {LAYOUT: layout}}
        ours = finish_reason(reason, _FINISH_REASONS, called=bool(self._calls))
        into.append(chunk(delta, _rest(payload), finish_reason=ours))
        self._stopped = True
        self._close()

    def metadata(self, payload: Payload, into: list[Chunk]) -> None:
        """Append usage, mostly the last event; raises the error of a failed response."""
        tier = (payload.get("serviceTier") or {}).get("type")
        if isinstance(counted := payload.get("usage"), Mapping):
            self._usage = merged(self._usage, counted)
        head = present(usage=_usage(self._usage), service_tier=tier)
        into.append(chunk(None, {**_rest(payload), **head}))
        self._counted = True
        self._close()

    def _close(self) -> None:
        """End the response once the stop and the usage have come, in either order."""
        if not (self._stopped and self._counted):
            return
        if self._pending_error:
            raise self._pending_error
        self.done = True

    def _text(self, index: int, text: str, into: list[Chunk]) -> None:
        if text:
            item = self._layout.setdefault(index, {"from": "content", "length": 0})
            item["length"] = item.get("length", 0) + len(text)
            into.append(chunk({"content": text}))

    def _thought(self, index: int, piece: Payload, into: list[Chunk]) -> None:
        self._layout.setdefault(index, {"from": "thinking_blocks"})
        if "redactedContent" in piece:
            data = piece["redactedContent"]
            block = {"type": "redacted_thinking", "data": data, "index": index}
            into.append(chunk({"thinking_blocks": [block]}))
            return
        text = piece.get("text") or ""
        fields = present(thinking=text, signature=piece.get("signature"))
        delta: dict[str, Any] = {
            "thinking_blocks": [{"type": "thinking", **fields, "index": index}]
        }
        if text:
            delta["reasoning_content"] = text
        into.append(chunk(delta))

    def _arguments(self, index: int, text: str, into: list[Chunk]) -> None:
        position = self._calls.setdefault(index, len(self._calls))
        self._layout.setdefault(index, {"from": "tool_calls"})["pieces"] = True
        call = {"index": position, "function": {"arguments": text}}
        into.append(chunk({"tool_calls": [call]}))

    def _image(self, index: int, piece: Payload) -> None:
        self._layout[index] = {"from": "images"}
        self._images.setdefault(index, []).append(piece)

    def _keep(self, index: int, piece: Payload, into: list[Chunk]) -> None:
        self._layout.setdefault(index, {})
        self._kept.setdefault(index, []).append(piece)
        into.append(chunk({}))  # a tool that Amazon runs must not look like silence

    def _layout_item(self, index: int) -> dict[str, Any]:
        """Return a block's item of the layout, or the block itself if it is kept whole."""
        if index in self._kept:
            return whole_block(self._kept[index])
        return {key: value for key, value in self._layout[index].items() if key != "pieces"}


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response."""
    message = (body.get("output") or {}).get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        raise APIResponseValidationError("the response must have a message")
    decoder = BedrockDecoder()
    chunks: list[Chunk] = []
    decoder.message_start(message, chunks)
    for index, block in enumerate(message.get("content") or ()):
        for handler, payload in _as_events(block):
            handler(decoder, {"contentBlockIndex": index, **payload}, chunks)
    decoder.message_stop({"stopReason": body.get("stopReason")}, chunks)
    decoder.metadata(body, chunks)
    return total(chunks)


def _as_events(block: Payload) -> Iterator[tuple[_Handler, Payload]]:
    """Yield the events that would have streamed `block`."""
    delta, start, stop = map(_HANDLERS.__getitem__, _BLOCK_EVENTS)
    if "reasoningContent" in block:
        thought = block["reasoningContent"]
        yield delta, {"delta": {"reasoningContent": thought.get("reasoningText") or thought}}
    elif "citationsContent" in block:
        cited = block["citationsContent"]
        for part in cited.get("content") or ():
            yield delta, {"delta": part}
        for citation in cited.get("citations") or ():
            yield delta, {"delta": {"citation": citation}}
    elif "toolUse" in block and not block["toolUse"].get("type"):
        yield start, {"start": block}
        given = orjson.dumps(block["toolUse"].get("input") or {}).decode()
        yield delta, {"delta": {"toolUse": {"input": given}}}
        yield stop, {}
    elif "text" in block:
        yield delta, {"delta": block}
    else:
        yield start, {"start": block}
        yield stop, {}


def _rest(payload: Payload) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key not in _PLACED}


def _usage(usage: Payload) -> dict[str, Any] | None:
    """Return usage under OpenAI's names; Bedrock counts cached tokens separately."""
    if not usage:
        return None
    counts = counts_in(usage)
    read, written = counts.get("cacheReadInputTokens"), counts.get("cacheWriteInputTokens")
    prompt = added(usage, "inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    completion = added(usage, "outputTokens")
    counted: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": counts.get("totalTokens", both(prompt, completion)),
    }
    if read is not None or written is not None:
        details = {"cached_tokens": read or 0, "cache_creation_tokens": written or 0}
        counted["prompt_tokens_details"] = details
    named = ("inputTokens", "outputTokens", "totalTokens")
    return {**counted, **{key: value for key, value in usage.items() if key not in named}}


_Handler = Callable[[BedrockDecoder, Payload, list[Chunk]], None]
_BLOCK_EVENTS = ("contentBlockDelta", "contentBlockStart", "contentBlockStop")

# Events of other types have nothing for a chunk.
_HANDLERS: dict[str, _Handler] = {
    "messageStart": BedrockDecoder.message_start,
    "contentBlockStart": BedrockDecoder.block_start,
    "contentBlockDelta": BedrockDecoder.block_delta,
    "contentBlockStop": BedrockDecoder.block_stop,
    "messageStop": BedrockDecoder.message_stop,
    "metadata": BedrockDecoder.metadata,
}
