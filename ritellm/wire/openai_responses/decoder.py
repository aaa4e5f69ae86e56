"""Decode responses of OpenAI's Responses API into chunks.

https://platform.openai.com/docs/api-reference/responses-streaming. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ritellm.errors import APIResponseValidationError
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.base import Event
from ritellm.wire.chunks import chunk, total
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.openai import stream_error
from ritellm.wire.framing.sse import SSE
from ritellm.wire.openai_responses.content import CALLS, LAYOUT, annotation, image_of, layout_of
from ritellm.wire.openai_responses.ending import failure_of, finish_reason_of, usage_of
from ritellm.wire.openai_responses.slots import Slot, Slots
from ritellm.wire.payload import json_object
from ritellm.wire.request import present

Payload = Mapping[str, Any]
_FIRST: Slot = (0, 0)

# These fields of the response belong to the completion; the others repeat the request.
_TOP_FIELDS = ("service_tier", "incomplete_details", "metadata", "moderation", "tool_usage")


def new_framing() -> SSE:
    """Return the framing of a streamed response: server-sent events."""
    return SSE()


def new_decoder(request: Request) -> ResponsesDecoder:
    """Return a decoder for one streamed response."""
    return ResponsesDecoder()


class ResponsesDecoder:
    """Turns the events of one stream into chunks.

    Chunks carry the event's `sequence_number`, from which a background response can be resumed.
    """

    __slots__ = (
        "_calls",
        "_head",
        "_items",
        "_named",
        "_notes",
        "_reasoning",
        "_slots",
        "_streamed",
        "done",
    )

    def __init__(self) -> None:
        self.done = False
        self._head: dict[str, Any] = {}
        self._slots = Slots()
        # What has arrived, by slot. `decode` puts the slot in place of an event's output_index.
        self._items: dict[Slot, Payload] = {}  # whole items
        self._streamed: set[Slot] = set()  # items with deltas
        self._calls: dict[Slot, int] = {}  # the index of the tool call
        self._named: set[Slot] = set()  # calls whose name and id have arrived
        self._notes: dict[Slot, int] = {}  # the number of annotations
        self._reasoning: tuple[Any, ...] | None = None  # the newest part of the reasoning

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunks of `event`; raises the error in it."""
        kind, data = event
        if data == b"[DONE]":  # not OpenAI's own, and not the terminator
            return
        payload = json_object(data)
        kind = payload.get("type") or kind
        if kind == "error" or payload.get("error"):
            raise stream_error(payload)
        if (id := payload.get("item_id")) is not None:
            payload["output_index"] = self._slots.by_id.get(id) or self._slots.of(kind, payload)
        elif "output_index" in payload or "item" in payload:
            payload["output_index"] = self._slots.of(kind, payload)
        start = len(into)
        try:
            _HANDLERS.get(kind, _other)(self, payload, into)
        finally:
            if "sequence_number" in payload:
                number = payload["sequence_number"]
                for each in into[start:]:
                    each["sequence_number"] = number

    def opened(self, payload: Payload, into: list[Chunk]) -> None:
        """Append the head of the response, once."""
        if not self._head:
            self._set_head(payload.get("response") or {})
            into.append(chunk({"role": "assistant"}, self._head))

    def text(self, payload: Payload, into: list[Chunk]) -> None:
        """Append a piece of text, with its logprobs."""
        self._streamed.add(payload.get("output_index", _FIRST))
        logprobs = payload.get("logprobs")
        choice = {"logprobs": {"content": logprobs}} if logprobs else {}
        into.append(chunk({"content": payload.get("delta")}, self._head, **choice))

    def refusal(self, payload: Payload, into: list[Chunk]) -> None:
        """Append a piece of a refusal."""
        self._streamed.add(payload.get("output_index", _FIRST))
        into.append(chunk({"refusal": payload.get("delta")}, self._head))

    def reasoning(self, payload: Payload, into: list[Chunk]) -> None:
        """Append a piece of reasoning, or of its summary; a blank line separates the parts."""
        index = payload.get("output_index", _FIRST)
        self._streamed.add(index)
        part = (index, payload.get("summary_index"), payload.get("content_index"))
        gap = "\n\n" if self._reasoning not in (None, part) else ""
        self._reasoning = part
        into.append(chunk({"reasoning_content": gap + (payload.get("delta") or "")}, self._head))

    def annotation(self, payload: Payload, into: list[Chunk]) -> None:
        """Append an annotation."""
        index = payload.get("output_index", _FIRST)
        self._notes[index] = self._notes.get(index, 0) + 1
        note = annotation(payload.get("annotation") or {})
        into.append(chunk({"annotations": [note]}, self._head))

    def item_added(self, payload: Payload, into: list[Chunk]) -> None:
        """Append the head of a tool call; for other items, an empty chunk."""
        item = payload.get("item") or {}
        if item.get("type") in CALLS:
            self._call(payload.get("output_index", _FIRST), item, None, into)
        else:
            self.progress(into)

    def progress(self, into: list[Chunk]) -> None:
        """Append an empty chunk, so that work without output does not look like silence."""
        into.append(chunk({}, self._head))

    def arguments(self, payload: Payload, into: list[Chunk]) -> None:
        """Append a piece of a tool call's arguments."""
        index = payload.get("output_index", _FIRST)
        self._streamed.add(index)
        custom = payload.get("type") == "response.custom_tool_call_input.delta"
        item = {"type": "custom_tool_call" if custom else "function_call"}
        self._call(index, item, payload.get("delta") or "", into)

    def item_done(self, payload: Payload, into: list[Chunk]) -> None:
        """Keep a whole item, and append what the deltas did not have."""
        item, index = payload.get("item") or {}, payload["output_index"]
        self._items[index] = item
        missing = index not in self._streamed
        kind = item.get("type")
        if kind == "message":
            self._message_done(item, index, missing, into)
        elif kind == "reasoning" and missing:
            for name, number in (("summary", "summary_index"), ("content", "content_index")):
                for position, part in enumerate(item.get(name) or ()):
                    part_of = {"output_index": index, number: position}
                    self.reasoning({**part_of, "delta": part.get("text")}, into)
        elif kind in CALLS and (missing or index not in self._named):
            whole = item.get("arguments" if kind == "function_call" else "input") or ""
            self._call(index, item, whole if missing else None, into)
        elif image := image_of(item):
            into.append(chunk({"images": [image]}, self._head))

    def _message_done(self, item: Payload, index: Slot, missing: bool, into: list[Chunk]) -> None:
        notes: list[Any] = []
        for part in item.get("content") or ():
            if missing and part.get("text"):
                delta = {"output_index": index, "delta": part["text"]}
                self.text({**delta, "logprobs": part.get("logprobs")}, into)
            elif missing and part.get("refusal"):
                self.refusal({"output_index": index, "delta": part["refusal"]}, into)
            notes.extend(part.get("annotations") or ())
        for note in notes[self._notes.get(index, 0) :]:
            self.annotation({"output_index": index, "annotation": note}, into)

    def _call(self, index: Slot, item: Payload, text: str | None, into: list[Chunk]) -> None:
        function = item["type"] == "function_call"
        inner = present(name=item.get("name"), **{"arguments" if function else "input": text})
        call = present(id=item.get("call_id"))
        if call:
            self._named.add(index)
            call["type"] = "function" if function else "custom"
        position = self._calls.setdefault(index, len(self._calls))
        call = {"index": position, **call, "function" if function else "custom": inner}
        into.append(chunk({"tool_calls": [call]}, self._head))

    def closed(self, payload: Payload, into: list[Chunk]) -> None:
        """Append the finish reason and usage; raises if the response has failed.

        Some gateways send the output only here.
        """
        response = payload.get("response") or {}
        if not (self._streamed or self._items or self._calls):
            self._output(response, into)
        self.finish(response, into)
        self.done = True

    def whole(self, response: Payload, into: list[Chunk]) -> None:
        """Append the chunks of an unstreamed response."""
        self.opened({"response": response}, into)
        self._output(response, into)
        self.finish(response, into)
        self.done = True

    def _output(self, response: Payload, into: list[Chunk]) -> None:
        for index, item in enumerate(response.get("output") or ()):
            self.item_done({"output_index": (index, 0), "item": item}, into)

    def finish(self, response: Payload, into: list[Chunk]) -> None:
        """Append the last chunk, from the whole `response`; raises if it has failed."""
        if not self._head:
            self._set_head(response)
        head = {**self._head, **{k: response[k] for k in _TOP_FIELDS if response.get(k)}}
        head.update(present(usage=usage_of(response.get("usage"))))
        if error := failure_of(response):
            if head.get("usage"):
                into.append(chunk(None, head))
            raise error
        items = response.get("output") or [self._items[index] for index in sorted(self._items)]
        layout = layout_of(items)
        delta = {"provider_specific_fields": {LAYOUT: layout}} if layout else {}
        called = bool(self._calls) or any(item.get("type") in CALLS for item in items)
        into.append(chunk(delta, head, finish_reason=finish_reason_of(response, called)))

    def _set_head(self, response: Payload) -> None:
        created = response.get("created_at")
        self._head = present(
            id=response.get("id"),
            created=int(created) if isinstance(created, (int, float)) else None,
            model=response.get("model"),
        )


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response."""
    if not isinstance(body, dict):
        raise APIResponseValidationError("the response must be a JSON object")
    if body.get("error") and not body.get("status"):
        raise stream_error(body)
    if not isinstance(body.get("output"), list):
        if error := vendor_error(body):
            raise error
        raise APIResponseValidationError(
            f"the response must have a list of output, got the fields {', '.join(body)}"
        )
    chunks: list[Chunk] = []
    ResponsesDecoder().whole(body, chunks)
    return total(chunks)


_Handler = Callable[[ResponsesDecoder, Payload, list[Chunk]], None]


def _other(decoder: ResponsesDecoder, payload: Payload, into: list[Chunk]) -> None:
    """Append an empty chunk for an event of progress (a search, a program); skip repetitions."""
    if payload.get("object") == "response" and isinstance(payload.get("output"), list):
        decoder.whole(payload, into)  # a whole response instead of events
        return
    if "type" not in payload and (error := vendor_error(payload)):
        raise error
    if not str(payload.get("type")).endswith((".added", ".done", ".completed")):
        decoder.progress(into)


_HANDLERS: dict[str, _Handler] = {
    "response.created": ResponsesDecoder.opened,
    "response.queued": ResponsesDecoder.opened,
    "response.in_progress": ResponsesDecoder.opened,
    "response.output_item.added": ResponsesDecoder.item_added,
    "response.output_text.delta": ResponsesDecoder.text,
    "response.output_text.annotation.added": ResponsesDecoder.annotation,
    "response.refusal.delta": ResponsesDecoder.refusal,
    "response.reasoning_summary_text.delta": ResponsesDecoder.reasoning,
    "response.reasoning_text.delta": ResponsesDecoder.reasoning,
    "response.function_call_arguments.delta": ResponsesDecoder.arguments,
    "response.custom_tool_call_input.delta": ResponsesDecoder.arguments,
    "response.output_item.done": ResponsesDecoder.item_done,
    "response.completed": ResponsesDecoder.closed,
    "response.incomplete": ResponsesDecoder.closed,
    "response.failed": ResponsesDecoder.closed,
    "response.cancelled": ResponsesDecoder.closed,
}
