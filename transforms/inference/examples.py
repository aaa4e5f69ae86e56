"""Turns the examples of RunInference into prompts: texts, messages, requests and prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from ritellm.errors import InvalidRequestError
from transforms.elements import Prompt

_ACCEPTED = (
    "an example must be a text, a list of messages, a dict with messages, or a Prompt (or a row"
    " with its id and request)"
)


class Example(NamedTuple):
    """What RunInference got for one row, and the id that its key gives it."""

    value: Any
    id: str | None = None

    def prompt(self) -> Prompt:
        """Return the prompt, with an empty id if there is none; raises InvalidRequestError."""
        value, id = self
        if isinstance(value, str):
            return Prompt(id or "", _json({"messages": [{"role": "user", "content": value}]}))
        if isinstance(value, Mapping) and "messages" not in value:
            raise InvalidRequestError(f"{_ACCEPTED}; got a dict without messages")
        if isinstance(value, Mapping):
            return Prompt(id or "", _json({str(name): each for name, each in value.items()}))
        if hasattr(value, "id") and isinstance(getattr(value, "request", None), str):
            return _of_row(value, id)
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            return Prompt(id or "", _json({"messages": [_message(each) for each in value]}))
        raise InvalidRequestError(f"{_ACCEPTED}; got {type(value).__name__}")


def _of_row(row: Any, id: str | None) -> Prompt:
    """Return a prompt, or a row with the columns of one, as a prompt."""
    optional = {name: getattr(row, name, None) for name in ("input", "place", "key")}
    return Prompt(str(row.id) if id is None else id, row.request, **optional)


def _message(message: Any) -> Any:
    """Return a message as a dict; Beam's `OpenAIChatMessage` has its fields as attributes."""
    if isinstance(message, Mapping):
        return message
    try:
        return {"role": message.role, "content": message.content}
    except AttributeError:
        got = type(message).__name__
        raise InvalidRequestError(
            f"a message must be a dict with role and content, got {got}; {_ACCEPTED}"
        ) from None


def _json(body: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(body).decode()
    except (TypeError, RecursionError) as error:
        raise InvalidRequestError(f"the example cannot be written as JSON: {error}") from None
