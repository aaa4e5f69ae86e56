"""Give the ids of tool calls the form that a server accepts.

The problem: a conversation moves from one provider to another, and each has its own form of ids.
Mistral accepts nine letters or digits, Anthropic no dot, OpenAI 40 characters.

The idea: an id that fits is unchanged. Any other becomes a new one that is derived from it and from
the messages before it. So the next request of the conversation has the same ids, and a provider's
cache of prompts matches.

The invariants: a call and its result keep one id, and two calls never share one. Some servers give
each call the id `call_0`, or none; results are then paired in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import Any

from ritellm.errors import InvalidRequestError

# https://docs.mistral.ai: "a-z, A-Z, 0-9, with a length of 9".
MISTRAL = r"[a-zA-Z0-9]{9}"
# OpenAI: "Expected a string with maximum length 40" in chat, and 64 for a `call_id` of Responses.
OPENAI_CHAT = r"[\s\S]{1,40}"
OPENAI_RESPONSES = r"[\s\S]{1,64}"
ANTHROPIC = r"[a-zA-Z0-9_-]+"
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html
BEDROCK = r"[a-zA-Z0-9_.:-]{1,64}"

_LENGTHS = (64, 40, 9)
_UNUSUAL = re.compile(r"[^a-zA-Z0-9_-]")


def with_ids(messages: Iterable[Mapping[str, Any]], pattern: str) -> Sequence[Mapping[str, Any]]:
    """Return `messages` with ids of calls that match `pattern`, each for one call."""
    messages = [*messages]
    if not any(message.get("tool_calls") or message.get("role") == "tool" for message in messages):
        return messages
    ids = _Ids(pattern)
    return [ids.message(message) for message in messages]


class _Ids:
    """The ids of a conversation so far."""

    def __init__(self, pattern: str) -> None:
        self._accepted = re.compile(pattern).fullmatch
        self._taken: set[str] = set()
        self._waiting: dict[str, list[str]] = {}  # by the old id: new ids of calls without result

    def message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the message with its new ids, or itself if they are the old ones."""
        if message.get("role") == "assistant":
            calls = calls_of(message)
            old = [call.get("id") for call in calls]
            new = self._called(old)
            renamed = [{**call, "id": id} for call, id in zip(calls, new, strict=True)]
            return message if new == old else {**message, "tool_calls": renamed}
        if message.get("role") != "tool":
            return message
        given = message.get("tool_call_id")
        id = self._answered(given)
        return message if id == given else {**message, "tool_call_id": id}

    def _called(self, ids: Sequence[Any]) -> list[str]:
        keys = [_key(id) for id in ids]
        new = [self._new(key) for key in keys]
        self._waiting.update({key: [] for key in keys})
        for key, id in zip(keys, new, strict=True):
            self._waiting[key].append(id)
        return new

    def _answered(self, id: Any) -> Any:
        waiting = self._waiting.get(_key(id))
        if not waiting:
            return id
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def _new(self, id: str) -> str:
        # The second is in plain characters, which a person still recognizes.
        both = (id, _UNUSUAL.sub("_", id))
        fit = (i for i in both if i and self._accepted(i) and i not in self._taken)
        new = next(fit, None) or self._hashed(id)
        self._taken.add(new)
        return new

    def _hashed(self, id: str) -> str:
        for number in count():
            digest = sha256(f"{id}#{number}".encode("utf-8", "surrogatepass")).hexdigest()
            for length in _LENGTHS:
                if self._accepted(digest[:length]) and digest[:length] not in self._taken:
                    return digest[:length]
        raise AssertionError("unreachable")


def _key(id: Any) -> str:
    return "" if id is None else str(id)


def calls_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tool calls of a message; raises InvalidRequestError for anything else."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, (list, tuple)) or not all(isinstance(c, Mapping) for c in calls):
        raise InvalidRequestError(f"tool_calls must be a list of objects, got {calls!r:.80}")
    return list(calls)
