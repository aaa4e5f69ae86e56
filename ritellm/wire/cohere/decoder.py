"""Decode responses of Cohere's v2 chat API into chunks.

https://docs.cohere.com/v2/docs/streaming. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.usage import both, counts_in, merged
from ritellm.errors import APIError, APIResponseValidationError, InternalServerError, Timeout
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.base import Event
from ritellm.wire.chunks import chunk, total, url_citation
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.openai import stream_error
from ritellm.wire.finish import finish_reason
from ritellm.wire.framing.sse import SSE
from ritellm.wire.payload import json_object
from ritellm.wire.request import present

Payload = Mapping[str, Any]

_BROKEN: dict[Any, type[APIError]] = {"ERROR": InternalServerError, "TIMEOUT": Timeout}


def new_framing() -> SSE:
    """Return the framing of a streamed response: server-sent events."""
    return SSE()


def new_decoder(request: Request) -> CohereDecoder:
    """Return a decoder for one streamed response."""
    return CohereDecoder()


class CohereDecoder:
    """Turns the events of one stream into chunks."""

    __slots__ = ("_head", "_usage", "called", "done")

    def __init__(self) -> None:
        self.done = False
        self.called = False  # the response has tool calls
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunk of `event`; raises the error in it."""
        kind, data = event
        if data == b"[DONE]":  # follows message-end, which is the terminator
            return
        payload = json_object(data)
        kind = payload.get("type") or kind
        if "type" not in payload and isinstance(payload.get("message"), Mapping):
            self.whole(payload, into)  # a whole response instead of events
            return
        if kind == "error" or payload.get("error"):
            raise stream_error(payload)
        if "type" not in payload:
            if "message" in payload:
                raise stream_error(payload)
            if error := vendor_error(payload):
                raise error
        delta = payload.get("delta") or {}
        if kind == "message-start":
            self._head = present(id=payload.get("id"))
            role = (delta.get("message") or {}).get("role") or "assistant"
            into.append(chunk({"role": role}, self._head))
        elif kind == "message-end":
            self.end(delta, into)
            self.done = True
        else:
            self._message(delta.get("message") or {}, payload, into)

    def _message(self, message: Payload, payload: Payload, into: list[Chunk]) -> None:
        """Append the chunk of an event that adds to the message."""
        added: dict[str, Any] = {}
        content = message.get("content") or {}
        for name, ours in (("thinking", "reasoning_content"), ("text", "content")):
            if content.get(name):
                added[ours] = content[name]
        if message.get("tool_plan"):
            added["tool_plan"] = message["tool_plan"]
        if message.get("tool_calls"):
            self.called = True
            added["tool_calls"] = [{"index": payload.get("index", 0), **message["tool_calls"]}]
        if message.get("citations"):
            added.update(_cited([message["citations"]]))
        logprobs = payload.get("logprobs")
        choice = {"logprobs": _logprobs([logprobs])} if logprobs else {}
        if added or choice:
            into.append(chunk(added, self._head, **choice))

    def whole(self, body: Payload, into: list[Chunk]) -> None:
        """Append the chunks of an unstreamed response."""
        message = body["message"]
        self._head = present(id=body.get("id"))
        delta: dict[str, Any] = {"role": message.get("role") or "assistant"}
        parts = message.get("content") or ()
        for name, ours in (("thinking", "reasoning_content"), ("text", "content")):
            if text := "".join(part.get(name) or "" for part in parts):
                delta[ours] = text
        if message.get("tool_plan"):
            delta["tool_plan"] = message["tool_plan"]
        if calls := message.get("tool_calls"):
            self.called = True
            delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
        delta.update(_cited(message.get("citations") or ()))
        logprobs = body.get("logprobs")
        choice = {"logprobs": _logprobs(logprobs)} if logprobs else {}
        into.append(chunk(delta, self._head, **choice))
        self.end(body, into)
        self.done = True

    def end(self, delta: Payload, into: list[Chunk]) -> None:
        """Append the finish reason and usage; raises if the response has failed."""
        reason = delta.get("finish_reason")
        if isinstance(counted := delta.get("usage"), Mapping):
            self._usage = merged(self._usage, counted)
        head = {**self._head, **present(usage=_usage(self._usage))}
        if reason in _BROKEN:
            if "usage" in head:
                into.append(chunk(None, head))
            message = delta.get("error") or f"the provider ended the response with {reason}"
            raise _BROKEN[reason](str(message), code=reason)
        ours = finish_reason(reason, called=self.called)
        into.append(chunk({}, head, finish_reason=ours))


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response."""
    if not isinstance(body, dict) or not isinstance(body.get("message"), dict):
        if isinstance(body, dict) and (body.get("error") or body.get("message")):
            raise stream_error(body)
        if isinstance(body, dict) and (error := vendor_error(body)):
            raise error
        raise APIResponseValidationError("the response must have a message")
    chunks: list[Chunk] = []
    CohereDecoder().whole(body, chunks)
    return total(chunks)


def _cited(citations: Any) -> dict[str, Any]:
    """Return citations unchanged, to be sent back, and also as OpenAI's annotations."""
    if not citations:
        return {}
    notes = [note for citation in citations for note in _annotations(citation)]
    return {"citations": list(citations), **({"annotations": notes} if notes else {})}


def _annotations(citation: Payload) -> list[dict[str, Any]]:
    """Return an annotation for each web page in `citation`.

    Citations in the thinking or in the tool plan are left out: their positions do not refer to the
    content.
    """
    if citation.get("type") not in (None, "TEXT_CONTENT"):
        return []
    span = present(start_index=citation.get("start"), end_index=citation.get("end"))
    pages = [
        found
        for source in citation.get("sources") or ()
        for found in (source.get("document"), source.get("tool_output"))
        if isinstance(found, Mapping) and found.get("url")
    ]
    return [
        url_citation({**span, "url": page["url"], "title": page.get("title") or ""})
        for page in pages
    ]


def _logprobs(items: Any) -> dict[str, Any]:
    """Return logprobs under OpenAI's names; tokens that share one text count as one token."""
    content = [
        {
            "token": item.get("text") or "",
            "logprob": sum(item.get("logprobs") or ()),
            "bytes": None,
            "top_logprobs": [],
            "token_ids": item.get("token_ids"),
        }
        for item in items
    ]
    return {"content": content}


def _usage(usage: Payload) -> dict[str, Any] | None:
    """Return usage under OpenAI's names. The billed units differ from it and keep their names."""
    if not usage:
        return None
    counts = counts_in(usage)  # integers: Cohere's schema has floats
    tokens = counts_in(counts.get("tokens"))
    prompt, completion = tokens.get("input_tokens"), tokens.get("output_tokens")
    cached = counts.get("cached_tokens")
    counted = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": both(prompt, completion),
    }
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    rest = {key: value for key, value in usage.items() if key not in ("tokens", "cached_tokens")}
    return {**counted, **details, **rest}
