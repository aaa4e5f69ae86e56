"""The values that travel: what is asked, where it goes, and what comes back.

Imports nothing of ours and does nothing; every other module speaks in these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# OpenAI's field names. Reading one that a provider left out gives None, as litellm's
# users expect (`chunk.choices[0].delta.content`); any other unknown name is an error.
_OPTIONAL = frozenset(
    "annotations arguments audio cached_tokens choices citations code completion_tokens"
    " completion_tokens_details content created custom data delta error expires_at"
    " finish_reason function function_call id images index logprobs message model name object"
    " param prompt_tokens prompt_tokens_details provider_specific_fields reasoning"
    " reasoning_content reasoning_details reasoning_tokens refusal role service_tier"
    " system_fingerprint text thinking_blocks tool_calls top_logprobs total_tokens transcript"
    " type usage usage_source".split()
)


class Fields(dict[str, Any]):
    """A JSON object that can also be read by attribute, at any depth.

    Nothing is built until an attribute is read: then the value is wrapped in place, so that
    `x.choices[0].delta` and `x["choices"][0]["delta"]` are the same object.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            if name in _OPTIONAL:
                return None
            raise AttributeError(f"no field {name!r}; there are {', '.join(self)}") from None
        if type(value) is dict:
            value = self[name] = Fields(value)
        elif type(value) is list:
            value[:] = [Fields(item) if type(item) is dict else item for item in value]
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    # What litellm's users, and pydantic's before them, call on a result.

    def model_dump(self, *, exclude_none: bool = False, mode: str = "python") -> dict[str, Any]:
        """Return a copy in plain dicts and lists; `mode` is accepted, for both are the same."""
        dumped: dict[str, Any] = _plain(self, exclude_none)
        return dumped

    def to_dict(self) -> dict[str, Any]:
        """Return a copy in plain dicts and lists."""
        return self.model_dump()

    def json(self) -> dict[str, Any]:
        """Return a copy in plain dicts and lists, which is what litellm calls json."""
        return self.model_dump()

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        """Return the JSON."""
        return json.dumps(_plain(self, exclude_none), indent=indent, ensure_ascii=False)


def _plain(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not (exclude_none and v is None)}
        return {key: _plain(item, exclude_none) for key, item in kept.items()}
    return [_plain(item, exclude_none) for item in value] if isinstance(value, list) else value


class NoChoices(list[Any]):
    """The choices of a chunk that has none: empty, but the first can be read.

    OpenAI's usage comes in such a chunk, and everybody writes `chunk.choices[0].delta.content`.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return Fields(index=0, delta=Fields(content=None), finish_reason=None)
        return super().__getitem__(index)


class Chunk(Fields):
    """One step of a streamed completion, in OpenAI's `chat.completion.chunk` shape.

    `attempt` (from 1) and `seq` (from 0 within the attempt) say where it belongs; they are not
    part of the JSON. A chunk that no stream delivered has attempt 1 and no seq.
    """

    __slots__ = ("attempt", "seq")

    attempt: int
    seq: int | None

    def __getattr__(self, name: str) -> Any:
        # An `__init__` that set them would double the price of a chunk.
        if name == "attempt":
            return 1
        return None if name == "seq" else super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Chunk.__slots__:
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def place(self, attempt: int, seq: int) -> Chunk:
        """Return this chunk, marked as number `seq` of `attempt`."""
        set_attempt(self, attempt)
        set_seq(self, seq)
        return self


# The slot descriptors themselves: `Chunk.__setattr__` would cost a name check per chunk.
set_attempt = Chunk.attempt.__set__  # type: ignore[attr-defined]
set_seq = Chunk.seq.__set__  # type: ignore[union-attr]


class Completion(Fields):
    """A whole answer, in OpenAI's `chat.completion` shape."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Discarded:
    """An attempt that was accepted and whose response does not count; it is billed all the same.

    `model` is "provider/model", `completion` is what had come. `counted` says whether the provider
    has counted all of that in its usage. `kept` says that this usage is part of what was delivered,
    in a response that went on or in an error's `partial`: only what is missing in it is lost.
    """

    model: str
    completion: Completion
    counted: bool
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Buffer:
    """How chunks are put together before the caller sees them: by time, by number, or by both.

    With `seconds` the stream is read no more often than that, and what has come meanwhile is one
    chunk; with `chunks` so many are one chunk.
    """

    seconds: float = 0.0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, by OpenAI's names; `params` holds only what the caller set.

    `metadata` is for whoever watches, not for the provider.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    drop_params: bool = False
    buffer: Buffer = Buffer()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The bytes of one request; `headers` may hold the key, so it is kept out of repr."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Four limits in seconds; None means no limit.

    `connect` to reach the provider, `first_chunk` from sending to the first chunk (or to the
    whole answer when not streaming), `inter_chunk` between chunks (comments and pings are no
    progress), `total` for everything, retries included.
    """

    connect: float | None = 10.0
    first_chunk: float | None = 300.0
    inter_chunk: float | None = 120.0
    total: float | None = None

    @classmethod
    def of(cls, value: Timeouts | float | None) -> Timeouts:
        """Return `value` as timeouts; a plain number sets all but `total`."""
        if value is None:
            return cls()
        if isinstance(value, Timeouts):
            return value
        return cls(connect=value, first_chunk=value, inter_chunk=value)
