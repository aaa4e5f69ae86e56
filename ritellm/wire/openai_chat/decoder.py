"""Decode responses of OpenAI's chat API, and of the many servers that follow it.

https://platform.openai.com/docs/api-reference/chat. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.choice import has_text as has_written
from ritellm.chunks.sum import message_to_delta
from ritellm.errors import APIError, APIResponseValidationError, InternalServerError
from ritellm.types import Chunk, Completion, Request
from ritellm.wire.base import Event
from ritellm.wire.errors.envelopes import vendor_error
from ritellm.wire.errors.openai import stream_error
from ritellm.wire.finish import finish_reason
from ritellm.wire.framing.sse import SSE
from ritellm.wire.openai_chat.content import split_parts
from ritellm.wire.openai_chat.repeats import Repeats
from ritellm.wire.payload import parse_json

# A finish_reason that means a failure: vLLM sends "abort" and then [DONE], Mistral and OpenRouter
# send "error", DeepSeek and Zhipu send the other two if the inference was interrupted.
_BROKEN = frozenset({"abort", "error", "insufficient_system_resource", "network_error"})
# The names of the text in reasoning that is an object.
_TEXTS = ("text", "content", "thinking", "reasoning", "summary")
# Events that only keep the connection open.
_IDLE = frozenset({"heartbeat", "keepalive", "ping"})


_DONE = b"[DONE]"
_MOST_DIGITS = 6  # of the index of a choice that is text


def new_framing() -> SSE:
    """Return the framing of a streamed response: server-sent events."""
    return SSE()


def new_decoder(request: Request) -> OpenAIChatDecoder:
    """Return a decoder for one streamed response."""
    asked = {**request.params, **request.extra_body}
    return OpenAIChatDecoder(single=asked.get("n") in (None, 1))


class OpenAIChatDecoder:
    """Turns the events of one stream into chunks, whose shape they nearly have already.

    `single` says that one choice was requested. Some servers number its chunks instead of it.
    """

    __slots__ = ("_called", "_has_text", "_single", "done", "repeats")

    def __init__(self, *, single: bool = False) -> None:
        self.done = False
        self.repeats = Repeats()
        self._single = single
        self._called: set[int] = set()  # the choices with tool calls
        self._has_text = False  # text has come in deltas

    def decode(self, event: Event, into: list[Chunk]) -> None:
        """Append the chunk in `event`; raises the error in it."""
        kind, data = event
        if data == _DONE or (data[:1] != b"{" and data.strip(b'" \t').upper() == _DONE):
            self.done = True
            return
        payload = parse_json(data)
        if isinstance(payload, list) and len(payload) == 1:
            payload = payload[0]  # an error of Google's
        if not isinstance(payload, dict):
            raise APIResponseValidationError(f"not a chunk: {data[:200]!r}")
        if kind == "error" or payload.get("error") or payload.get("object") == "error":
            if payload.get("usage"):  # OpenRouter charges for these tokens despite the error
                into.append(Chunk(choices=[], usage=payload["usage"]))
            raise stream_error(payload)
        choices = payload.get("choices")
        if not choices:
            if error := vendor_error(payload):
                raise error
            if not payload or payload.get("type") in _IDLE:
                return
            if payload.get("usage") == {}:
                payload["usage"] = None
        if choices is not None:
            plain = not kind
            for choice in choices:
                if self._single and choice.get("index") and len(choices) == 1:
                    choice["index"] = 0
                if "message" in choice:
                    _settle_message(choice, self._has_text)
                if _is_plain_text(choice):
                    self._has_text = True
                    choice["delta"].setdefault("content", None)
                else:
                    if isinstance(choice.get("usage"), dict):  # Moonshot's
                        usage = choice.pop("usage")
                        payload["usage"] = payload.get("usage") or usage
                    _normalise(choice, "delta", self._called)
                    plain = plain and _is_plain_text(choice)
            if plain:
                self.repeats.learn(data, payload)
        into.append(Chunk(payload))


def decode_completion(body: Any) -> Completion:
    """Return the completion in the JSON of an unstreamed response."""
    if not isinstance(body, dict):
        raise APIResponseValidationError("the response must be a JSON object")
    if body.get("error") or body.get("object") == "error":
        raise stream_error(body)
    if not isinstance(body.get("choices"), list):
        if error := vendor_error(body):
            raise error
        raise APIResponseValidationError(
            f"the response must have a list of choices, got the fields {', '.join(body)}"
        )
    for choice in body["choices"]:
        _normalise(choice, "message", set())
    source = "provider" if body.get("usage") else "missing"
    return Completion({**body, "object": "chat.completion", "usage_source": source})


def _settle_message(choice: dict[str, Any], has_text: bool) -> None:
    """Leave out a message that repeats what deltas have said, or a delta that says nothing."""
    delta = choice.get("delta")
    if has_text or has_written(choice):
        del choice["message"]
    elif isinstance(delta, dict):
        choice["delta"] = None


def _is_plain_text(choice: dict[str, Any]) -> bool:
    """Return whether `choice` has text and nothing else, as nearly all choices do."""
    delta = choice.get("delta")
    return (
        type(delta) is dict
        and len(delta) == 1
        and type(delta.get("content") or delta.get("reasoning_content")) is str
        and choice.get("finish_reason") is None
        and type(choice.get("index")) is int
    )


def _normalise(choice: dict[str, Any], part: str, called: set[int]) -> None:
    """Give reasoning, tool calls and finish_reason one shape; raises if the response has failed.

    `called` holds the indexes of the choices with tool calls so far.
    """
    delta = choice.get(part)
    index = choice.get("index") or 0
    if isinstance(index, str) and index.isdecimal() and len(index) < _MOST_DIGITS:
        choice["index"] = int(index)
    elif not isinstance(index, int):
        raise APIResponseValidationError(
            f"the index of a choice must be a number, got {choice['index']!r}"
        )
    if delta is None:
        # Some servers send the whole response instead of events.
        delta = choice[part] = message_to_delta(choice.pop("message", None) or {})
        if not delta and isinstance(choice.get("text"), str):  # as for OpenAI's older completions
            delta["content"] = choice.pop("text")
    delta.setdefault("content", None)  # callers read ["delta"]["content"] of every chunk
    if "reasoning_content" in delta or "reasoning" in delta:
        _normalise_reasoning(delta)
    if isinstance(delta.get("content"), (dict, list)):
        split_parts(delta)
    if isinstance(delta.get("tool_calls"), dict):  # older TGI: one call, not a list of them
        delta["tool_calls"] = [delta["tool_calls"]]
    if delta.get("tool_calls"):
        called.add(choice.get("index") or 0)
    reason = choice.get("finish_reason")
    if reason is None:
        return
    if isinstance(reason, str) and reason in _BROKEN:
        raise _broken(choice, reason)
    is_called = (choice.get("index") or 0) in called
    choice["finish_reason"] = finish_reason(reason, called=is_called)


def _normalise_reasoning(delta: dict[str, Any]) -> None:
    """Put reasoning under its one name, as text; some gateways send an object that holds it."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(delta.get(name), (dict, list)):
            text = _text_in(delta[name])
            delta[name] = delta[name] if text is None else text
    if isinstance(delta.get("reasoning"), str) and not delta.get("reasoning_content"):
        # Groq, OpenRouter, and vLLM since January 2026.
        delta["reasoning_content"] = delta.pop("reasoning")


def _text_in(value: Any) -> str | None:
    """Return the text in an object, or in a list of objects; None if it has no text."""
    if isinstance(value, list):
        parts = [_text_in(each) if isinstance(each, dict) else each for each in value]
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if parts and len(texts) == len(parts) else None
    held = next((value[name] for name in _TEXTS if value.get(name) is not None), None)
    return held if isinstance(held, str) else None


def _broken(choice: Mapping[str, Any], reason: str) -> APIError:
    error = choice.get("error")
    if isinstance(error, dict):
        return stream_error({"error": error})
    return InternalServerError(f"the provider ended the response with finish_reason {reason!r}")
