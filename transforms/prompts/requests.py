"""The JSON of a request: messages, and the parameters that a row may set. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from ritellm.calls.params import CALLER_ONLY, CHAT_PARAMS, COMMON_PARAMS
from ritellm.suggest import did_you_mean
from transforms.prompts.records import RowError, as_mapping, kind, plain_json

# What a request may set beside its messages; `model` within the provider of the transform.
PARAMETERS = CHAT_PARAMS | COMMON_PARAMS
_KNOWN = PARAMETERS | {"additional_params", "drop_params", "extra_body", "model"}


def check_parameters(names: Iterable[str]) -> None:
    """Raise TypeError for the first name that is not a parameter of a request."""
    for name in names:
        if name in CALLER_ONLY:
            raise TypeError(
                f"a prompt may not set {name}; pass it to CompletePrompts or StreamCompletions"
            )
        if name not in _KNOWN:
            raise TypeError(f"{name!r} is not a parameter of a request{did_you_mean(name, _KNOWN)}")


def text_request(text: Any, params: Mapping[str, Any], name: str = "the prompt") -> str:
    """Return the request of a user's `text`; raises RowError unless it is a text with words.

    `name` is what an error calls the text.
    """
    return request_json([user_message(text, name)], params)


def messages_request(messages: Any, params: Mapping[str, Any], name: str = "the messages") -> str:
    """Return the request of `messages`, a list of objects or its JSON; raises RowError."""
    return request_json(message_list(messages, name), params)


def request_json(messages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> str:
    """Return the JSON of a request; a parameter that is None is left out. Raises RowError."""
    return plain_json({"messages": messages, **_given(params)})


def user_message(text: Any, name: str) -> dict[str, Any]:
    """Return a user's `text` as a message; raises RowError unless it is a text with words."""
    if not isinstance(text, str):
        raise RowError(f"{name} must be a text, got {kind(text)}")
    if not text.strip():
        raise RowError(f"{name} must not be empty")
    return {"role": "user", "content": text}


def message_list(messages: Any, name: str) -> Sequence[Mapping[str, Any]]:
    """Return `messages`, a list of objects or its JSON; raises RowError."""
    found = messages if type(messages) is list else _as_list(messages, name)
    if not found:
        raise RowError(f"{name} must have at least one message")
    return [each if type(each) is dict else _message(each, name) for each in found]


def _as_list(messages: Any, name: str) -> Sequence[Any]:
    if isinstance(messages, (str, bytes)):
        try:
            messages = orjson.loads(messages)
        except ValueError as error:
            raise RowError(f"{name} must be a list or the JSON of one ({error})") from None
    elif hasattr(messages, "tolist"):
        messages = messages.tolist()
    if not isinstance(messages, (list, tuple)) or hasattr(messages, "_fields"):
        raise RowError(f"{name} must be a list of messages, got {kind(messages)}")
    return messages


def _message(value: Any, name: str) -> dict[str, Any]:
    columns = as_mapping(value)
    if columns is None:
        raise RowError(f"{name} must be a list of objects, got {kind(value)} in it")
    return dict(columns)


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
