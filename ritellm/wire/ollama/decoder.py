"""Decode responses of Ollama's chat API into chunks; each line is nearly one already.

https://docs.ollama.com/api/chat. No I/O and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from ritellm.chunks.usage import added, both, merged
from ritellm.errors import APIResponseValidationError
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.base import Event
from ritellm.wire.chunks import chunk, total
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.openai import stream_error
from ritellm.wire.finish import finish_reason
from ritellm.wire.framing.jsonl import JSONLines
from ritellm.wire.payload import json_object

# The fields with a place in a chunk; the others (durations, remote_host) pass unchanged.
_PLACED = frozenset(
    "model created_at message done done_reason prompt_eval_count eval_count logprobs".split()
)
_COUNTS = ("prompt_eval_count", "eval_count")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)$")


def new_framing() -> JSONLines:
    """Return the framing of a streamed response: JSON lines."""
    return JSONLines()


def new_decoder(request: Request) -> OllamaDecoder:
    """Return a decoder for one streamed response."""
    return OllamaDecoder()


class OllamaDecoder:
    """Turns the lines of one stream into chunks."""

    __slots__ = ("_calls", "_counts", "_head", "done")

    def __init__(self) -> None:
        self.done = False
        self._head: dict[str, Any] | None = None
        self._calls = 0
        self._counts: dict[str, Any] = {}

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunk of a line; raises the error in it."""
        line = json_object(event[1])
        if line.get("error"):
            raise stream_error(line)
        if "message" not in line and "done" not in line and (error := vendor_error(line)):
            raise error
        if self._head is None:
            self._head = _head(line)
        head = self._head
        if not line.keys() <= _PLACED:
            head = {**head, **{k: v for k, v in line.items() if k not in _PLACED}}
        choice: dict[str, Any] = {}
        if line.get("logprobs"):
            choice["logprobs"] = {"content": line["logprobs"]}
        delta = self._delta(line.get("message") or _generated(line))
        if line.get("done"):
            self.done = True
            choice["finish_reason"] = self._finish_reason(line.get("done_reason"))
            counts = {name: line.get(name) for name in _COUNTS if name in line}
            self._counts = merged(self._counts, counts)
            if usage := _usage(self._counts):
                head = {**head, "usage": usage}
        into.append(chunk(delta, head, **choice))

    def _delta(self, message: Mapping[str, Any]) -> dict[str, Any]:
        delta = {key: value for key, value in message.items() if value}
        if "thinking" in delta:
            delta["reasoning_content"] = delta.pop("thinking")
        if "tool_calls" in delta:
            delta["tool_calls"] = [self._call(call) for call in delta["tool_calls"]]
        return delta

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return a whole call.

        Older versions send no id, but a result must refer to one: then the call's number serves.
        """
        index, self._calls = self._calls, self._calls + 1
        function = call.get("function") or {}
        given = function.get("arguments") or {}
        # Some servers that speak this dialect send text, as OpenAI does.
        arguments = given if isinstance(given, str) else orjson.dumps(given).decode()
        return {
            "index": index,
            "id": call.get("id") or f"call_{index}",
            "type": "function",
            "function": {"name": function.get("name"), "arguments": arguments},
        }

    def _finish_reason(self, reason: str | None) -> str | None:
        """Return OpenAI's finish_reason.

        Ollama sends "stop" also after a tool call. Its other reasons ("length", "load") pass
        unchanged.
        """
        called = bool(self._calls)
        return finish_reason(reason, called=called) or ("tool_calls" if called else None)


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response, which is a single line."""
    if not isinstance(body, dict) or not (body.get("error") or "message" in body):
        if isinstance(body, dict) and (error := vendor_error(body)):
            raise error
        raise APIResponseValidationError("the response must have a message")
    chunks: list[Chunk] = []
    OllamaDecoder().decode(("", orjson.dumps(body)), chunks)
    return total(chunks)


def _generated(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message of a server that answers in the shape of `/api/generate`."""
    return {"content": line.get("response"), "thinking": line.get("thinking")}


def _head(line: Mapping[str, Any]) -> dict[str, Any]:
    head = {"model": line["model"]} if line.get("model") else {}
    created = _seconds(line.get("created_at"))
    return head if created is None else {**head, "created": created}


def _seconds(text: Any) -> int | None:
    """Return the Unix time of an RFC 3339 time, which may count nanoseconds."""
    found = _TIME.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    zone = "+00:00" if found[2] == "Z" else found[2]
    return int(datetime.fromisoformat(found[1] + zone).timestamp())


def _usage(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return usage under OpenAI's names, or None if the line has no counts.

    Ollama leaves out a count of zero.
    """
    if "prompt_eval_count" not in line and "eval_count" not in line:
        return None
    prompt, completion = added(line, "prompt_eval_count"), added(line, "eval_count")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": both(prompt, completion),
    }
