"""Give the ids of tool calls the form that a server accepts.

The problem: a conversation moves from one provider to another, and each has its own form of ids.
Mistral accepts nine letters or digits, Anthropic no dot, OpenAI 40 characters.

The idea: an id that fits is unchanged. Any other becomes a new one that is derived from it, so that
the next request of the conversation has the same ids, and a provider's cache of prompts matches.

The invariant: a call and its result keep one id, and two calls never share one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
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
    """Return `messages` with ids of calls that match `pattern`."""
    conversation = list(messages)
    accepted = re.compile(pattern).fullmatch
    given = [id for message in conversation for id in _ids(message)]
    taken = {id for id in given if accepted(id)}
    new: dict[str, str] = {}
    for id in given:
        if id not in taken and id not in new:
            new[id] = next(c for c in _candidates(id) if c not in taken and accepted(c))
            taken.add(new[id])
    return [_renamed(message, new) for message in conversation] if new else conversation


def _renamed(message: Mapping[str, Any], new: Mapping[str, str]) -> Mapping[str, Any]:
    if message.get("role") == "assistant":
        calls = [{**c, "id": _new(c.get("id"), new)} for c in calls_of(message)]
        return {**message, "tool_calls": calls} if calls else message
    if message.get("tool_call_id"):
        return {**message, "tool_call_id": _new(message["tool_call_id"], new)}
    return message


def _new(id: Any, new: Mapping[str, str]) -> Any:
    return new.get(id, id) if isinstance(id, str) else id


def calls_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tool calls of a message; raises InvalidRequestError for anything else."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, (list, tuple)) or not all(isinstance(c, Mapping) for c in calls):
        raise InvalidRequestError(f"tool_calls must be a list of objects, got {calls!r:.80}")
    return list(calls)


def _ids(message: Mapping[str, Any]) -> list[str]:
    """Return the ids in a message; a server decides what is wrong with one that is no text."""
    found = [message.get("tool_call_id")]
    if message.get("role") == "assistant":
        found = [call.get("id") for call in calls_of(message)]
    return [id for id in found if id and isinstance(id, str)]


def _candidates(id: str) -> Iterable[str]:
    """Yield new ids: the old one in plain characters, then hashes, which never end."""
    yield _UNUSUAL.sub("_", id)
    number = 0
    while True:
        digest = sha256(f"{id}#{number}".encode("utf-8", "surrogatepass")).hexdigest()
        yield from (digest[:length] for length in _LENGTHS)
        number += 1
