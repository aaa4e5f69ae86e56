"""Example messages that go before the message of each row. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from transforms.prompts.records import as_mapping

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Messages with these roles stand before the examples.
SYSTEM_ROLES = frozenset({"system", "developer"})


class Shots(NamedTuple):
    """The system messages that the examples begin with, and the examples."""

    system: Sequence[Mapping[str, Any]] = ()
    examples: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, messages: Any, name: str = "shots") -> Shots:
        """Return the examples in `messages`; raises TypeError or ValueError, which say `name`."""
        if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
            raise TypeError(f"{name} must be a list of messages, got {type(messages).__name__}")
        checked = [_checked(message, number, name) for number, message in enumerate(messages, 1)]
        split = len(leading_system(checked))
        if len(checked) == split or checked[-1]["role"] != "assistant":
            got = checked[-1]["role"] if checked else "no message"
            raise ValueError(f"{name} must end with a message of the assistant, got {got}")
        return cls(tuple(checked[:split]), tuple(checked[split:]))


NO_SHOTS = Shots()


def leading_system(messages: Sequence[Any]) -> list[Any]:
    """Return the system messages that `messages` begin with."""
    found = []
    for message in messages:
        if not isinstance(message, Mapping) or message.get("role") not in SYSTEM_ROLES:
            break
        found.append(message)
    return found


def shots_in(text: str, name: str = "shots") -> Shots:
    """Return the examples in a JSON list of messages, or in lines with one message each.

    Raises ValueError.
    """
    try:
        found = orjson.loads(text)
    except ValueError as error:
        found = _lines(text)
        if found is None:
            raise ValueError(
                f"{name} must be a JSON list of messages, or a message on each line ({error})"
            ) from None
    try:
        return Shots.of([found] if isinstance(found, dict) else found, name)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _lines(text: str) -> list[Any] | None:
    try:
        return [orjson.loads(line) for line in text.split("\n") if line.strip()] or None
    except ValueError:
        return None


def _checked(message: Any, number: int, name: str) -> dict[str, Any]:
    fields = as_mapping(message)
    if fields is None:
        raise TypeError(
            f"{name}: message {number} must be an object with role and content, got"
            f" {type(message).__name__}"
        )
    if fields.get("role") not in _ROLES:
        raise ValueError(
            f"{name}: the role of message {number} must be one of {', '.join(_ROLES)}, got"
            f" {fields.get('role')!r:.40}"
        )
    if fields.get("content") is None and not fields.get("tool_calls"):
        raise ValueError(f"{name}: message {number} must have content")
    return dict(fields)
