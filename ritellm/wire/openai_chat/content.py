"""Messages as OpenAI's chat takes them, and content in parts as OpenAI's chat returns it.

No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ritellm.endpoints import Quirks
from ritellm.wire.call_ids import MISTRAL, calls_of, with_ids
from ritellm.wire.content import arguments_text, signature_of
from ritellm.wire.media import plain_part
from ritellm.wire.models import is_gemini, is_mistral
from ritellm.wire.reasoning_details import details, joined

Message = Mapping[str, Any]

# The fields that only responses have: reasoning, our own fields, those of other dialects. Servers
# with a strict schema reject them in a request, except for the ones that they accept themselves.
_RESPONSE_ONLY = frozenset(
    "annotations citations content_parts context executed_tools extra_content images matched_stop"
    " parsed provider_specific_fields reasoning reasoning_content reasoning_details search_results"
    " thinking_blocks token_ids tool_plan".split()
)
# The fields of a tool call in a request. Others are a stream's `index`, and what other dialects
# keep in a call.
_CALL = ("id", "type", "function", "custom")
# A result's `is_error` is Anthropic's and Bedrock's.
_ELSEWHERE = frozenset({"is_error"})
_SAYS = ("content", "tool_calls", "function_call", "audio", "refusal")

_TEXT = ("text", "output_text", "summary_text")


def encode_messages(messages: Sequence[Message], quirks: Quirks, model: str) -> list[Message]:
    """Return `messages` as the server accepts them; the model decides the form of some ids."""
    pattern = MISTRAL if is_mistral(model) else quirks.call_ids
    encoder = _Encoder(quirks, model)
    encoded = [encoder.message(m) for m in (with_ids(messages, pattern) if pattern else messages)]
    sent = [message for message in encoded if message]
    return _answered(sent) if pattern == MISTRAL else sent


# Mistral's models, wherever they are served, refuse a user's message right after a result:
# "Unexpected role 'user' after role 'tool'" (zed-industries/zed#37021, goose#5998).
_ACKNOWLEDGED = {"role": "assistant", "content": "OK."}


def _answered(messages: list[Message]) -> list[Message]:
    """Return `messages` with an answer between a tool's result and the user's next message."""
    sent: list[Message] = []
    for message in messages:
        if message.get("role") == "user" and sent and sent[-1].get("role") == "tool":
            sent.append(_ACKNOWLEDGED)
        sent.append(message)
    return sent


class _Encoder:
    """Encodes the messages of one request."""

    def __init__(self, quirks: Quirks, model: str) -> None:
        self._quirks = quirks
        # A thought is signed for its own model.
        self._reads_details = "reasoning_details" in quirks.takes_back and "claude" in model
        # Only Gemini reads a signature there: https://ai.google.dev/gemini-api/docs/openai
        self._signs = is_gemini(model)

    def message(self, message: Message) -> Message | None:
        """Return the message to send, or None for an assistant's that says nothing."""
        role = message.get("role")
        if role == "assistant":
            return self._assistant(message)
        sent = {name: value for name, value in message.items() if name not in _ELSEWHERE}
        sent["content"] = self._content(message.get("content"))
        if role == "developer" and not self._quirks.developer:
            sent["role"] = "system"
        return self._in_schema(sent)

    def _assistant(self, message: Message) -> Message | None:
        sent = {
            name: value
            for name, value in message.items()
            if name == "content" or (value is not None and name not in _RESPONSE_ONLY)
        }
        for ours, theirs in self._quirks.takes_back.items():
            if value := message.get(ours) or message.get(theirs) or _raw(message, ours):
                sent[theirs] = joined(value) if ours == "reasoning_details" else value
        if self._reads_details and "reasoning_details" not in sent and (own := details(message)):
            sent["reasoning_details"] = own
        if isinstance(sent.get("content"), (list, tuple)):
            sent["content"] = self._content(sent["content"]) or None
        if isinstance(sent.get("audio"), Mapping) and "id" in sent["audio"]:
            sent["audio"] = {"id": sent["audio"]["id"]}
        calls = [self._call(call) for call in calls_of(message)]
        sent.pop("tool_calls", None)  # servers refuse an empty list
        if calls:
            sent["tool_calls"] = calls
        if not any(sent.get(name) for name in (*_SAYS, *self._quirks.takes_back.values())):
            return None
        if sent.get("content") is None and not any(sent.get(name) for name in _SAYS):
            sent["content"] = ""
        return self._in_schema(sent)

    def _in_schema(self, sent: dict[str, Any]) -> Message:
        """Return the message without fields that a strict schema refuses."""
        fields = self._quirks.fields
        if fields is None:
            return sent
        if sent.get("refusal") and not sent.get("content"):
            sent["content"] = sent["refusal"]
        known = {*fields, *self._quirks.takes_back.values()}
        return {name: value for name, value in sent.items() if name in known}

    def _content(self, content: Any) -> Any:
        if content is None or (isinstance(content, (list, tuple)) and not content):
            return ""  # servers refuse null and an empty list
        if not isinstance(content, (list, tuple)):
            return content
        return [self._part(part) if isinstance(part, Mapping) else part for part in content]

    def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = plain_part(part)
        if self._quirks.fields is None or "cache_control" not in plain:
            return plain
        return {name: value for name, value in plain.items() if name != "cache_control"}

    def _call(self, call: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = "custom" if "custom" in call else "function"
        sent = {name: call[name] for name in _CALL if call.get(name) is not None}
        sent.setdefault("type", kind)
        if isinstance(sent.get("function"), Mapping):
            arguments = arguments_text(call)
            sent["function"] = {"name": sent["function"].get("name"), "arguments": arguments}
        if self._signs and (signed := _signed(call)):
            sent["extra_content"] = signed
        return sent


def _raw(message: Message, name: str) -> Any:
    """Return reasoning under the name that some servers give it, in a message as it came."""
    value = message.get("reasoning") if name == "reasoning_content" else None
    return value if isinstance(value, str) else None


def _signed(call: Mapping[str, Any]) -> Any:
    """Return the signature of Gemini's call as its OpenAI-compatible API takes it, or None."""
    signature = signature_of(call)
    return call.get("extra_content") or (
        {"google": {"thought_signature": signature}} if signature else None
    )


def split_parts(delta: dict[str, Any]) -> None:
    """Turn content in parts into OpenAI's fields.

    Mistral and Databricks mix thoughts and text. Any other part is kept in `content_parts`.
    """
    texts, thoughts, others = [], [], []
    content = delta.pop("content")
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXT or (kind is None and _has_text(part)):
            texts.append(part.get("text") or "")
        elif kind in ("thinking", "reasoning"):
            thoughts.append(_thought(part))
        else:
            others.append(part)
    delta["content"] = "".join(texts) if texts else None
    if thoughts:
        delta["reasoning_content"] = "".join(thoughts)
    if others:
        delta["content_parts"] = others


def _has_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _thought(part: Mapping[str, Any]) -> str:
    inner = part.get("thinking") or part.get("summary") or part.get("text") or ""
    if isinstance(inner, str):
        return inner
    return "".join(piece.get("text") or "" for piece in inner)
