"""The parts of a completion and of a chunk, under litellm's names.

`completion.choices[0].message` is a `Message`, `chunk.choices[0].delta` a `Delta`, and so on. A
received part has the fields that the provider sent. A part that a program builds from keywords gets
litellm's defaults. The parts of a chunk have none, because an `__init__` would slow each chunk.

The annotations are for editors and type checkers. A value is what the provider has sent. A field
that it left out reads as None, and one that is not annotated has the type Any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from ritellm.types.fields import Fields

Object = Mapping[str, Any]
Kinds = Mapping[str, type[Fields]]


class PromptTokensDetailsWrapper(Fields):
    """The tokens of the prompt by kind, such as `cached_tokens`."""

    __slots__ = ()

    cached_tokens: int | None
    audio_tokens: int | None


class CompletionTokensDetailsWrapper(Fields):
    """The tokens of the completion by kind, such as `reasoning_tokens`."""

    __slots__ = ()

    reasoning_tokens: int | None
    audio_tokens: int | None
    accepted_prediction_tokens: int | None
    rejected_prediction_tokens: int | None


# Anthropic's names of counts, which programs for litellm read, and those of the details.
_CACHE = {
    "cache_read_input_tokens": ("cached_tokens",),
    "cache_creation_input_tokens": ("cache_creation_tokens", "cache_write_tokens"),
}


class Usage(Fields):
    """The tokens of a completion.

    `cache_read_input_tokens` and `cache_creation_input_tokens` can be read for every provider; they
    are 0 if it names no such tokens.
    """

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {
        "prompt_tokens_details": PromptTokensDetailsWrapper,
        "completion_tokens_details": CompletionTokensDetailsWrapper,
    }

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    prompt_tokens_details: PromptTokensDetailsWrapper | None
    completion_tokens_details: CompletionTokensDetailsWrapper | None
    cache_read_input_tokens: int
    cache_creation_input_tokens: int

    def __init__(self, received: Object | None = None, /, **fields: Any) -> None:
        counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
        super().__init__(counts if received is None else received, **fields)

    def __getattr__(self, name: str) -> Any:
        if name in _CACHE and name not in self:
            details = self.get("prompt_tokens_details") or {}
            return next((details[kind] for kind in _CACHE[name] if details.get(kind)), 0)
        return super().__getattr__(name)


class FunctionCall(Fields):
    """The name of a function, and its arguments as the text of a JSON object."""

    __slots__ = ()

    name: str | None
    arguments: str


class Function(FunctionCall):
    """The function of a tool call; arguments given as an object become its JSON."""

    __slots__ = ()

    def __init__(self, received: Object | None = None, /, **fields: Any) -> None:
        if received is None:
            fields = {"name": None, **fields, "arguments": _text(fields.get("arguments"))}
        super().__init__(received or {}, **fields)


class ChatCompletionMessageToolCall(Fields):
    """A tool call of a message."""

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {"function": Function}

    id: str
    type: str
    function: Function

    def __init__(self, received: Object | None = None, /, **fields: Any) -> None:
        defaults = {"id": None, "type": "function"}
        super().__init__(defaults if received is None else received, **fields)


class ChatCompletionDeltaToolCall(Fields):
    """A piece of a tool call."""

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {"function": Function}

    index: int
    id: str | None
    type: str | None
    function: Function


class Message(Fields):
    """The message of a choice; `content` may be given by position."""

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {
        "tool_calls": ChatCompletionMessageToolCall,
        "function_call": FunctionCall,
    }

    role: str
    content: str | None
    refusal: str | None
    tool_calls: list[ChatCompletionMessageToolCall] | None
    function_call: FunctionCall | None
    reasoning_content: str | None
    annotations: list[Fields] | None
    audio: Fields | None

    def __init__(self, received: Object | str | None = None, /, **fields: Any) -> None:
        if not isinstance(received, Mapping):
            received = {"content": received, "role": "assistant"}
        super().__init__(received, **fields)


class Delta(Fields):
    """What a chunk adds to the message of a choice."""

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {
        "tool_calls": ChatCompletionDeltaToolCall,
        "function_call": FunctionCall,
    }

    role: str | None
    content: str | None
    refusal: str | None
    tool_calls: list[ChatCompletionDeltaToolCall] | None
    function_call: FunctionCall | None
    reasoning_content: str | None
    annotations: list[Fields] | None
    audio: Fields | None


class ChoiceLogprobs(Fields):
    """The log probabilities of the tokens of a choice."""

    __slots__ = ()

    content: list[Fields] | None
    refusal: list[Fields] | None


class Choices(Fields):
    """A choice of a completion."""

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {"message": Message, "logprobs": ChoiceLogprobs}

    index: int
    message: Message
    finish_reason: str | None
    logprobs: ChoiceLogprobs | None

    def __init__(self, received: Object | None = None, /, **fields: Any) -> None:
        if received is None:
            fields = {"finish_reason": "stop", "index": 0, "message": Message(), **fields}
        super().__init__(received or {}, **fields)


class StreamingChoices(Fields):
    """A choice of a chunk."""

    __slots__ = ()
    _kinds: ClassVar[Kinds] = {"delta": Delta, "logprobs": ChoiceLogprobs}

    index: int
    delta: Delta
    finish_reason: str | None
    logprobs: ChoiceLogprobs | None


class NoChoices(list[Any]):
    """The choices of a chunk without any: an empty list whose first item can still be read.

    OpenAI sends usage in such a chunk, and most code reads `chunk.choices[0].delta.content`.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return StreamingChoices(index=0, delta=Delta(content=None), finish_reason=None)
        return super().__getitem__(index)


def _text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments)
