"""The values that every module passes on: requests, chunks, completions, timeouts.

This module imports nothing from the package and does nothing by itself.
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

    Wrappers are built only when an attribute is read. The wrapped value replaces the plain one, so
    `x.choices[0].delta` and `x["choices"][0]["delta"]` are the same object.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            if name in _OPTIONAL:
                return None
            raise AttributeError(f"no field {name!r}; the fields are {', '.join(self)}") from None
        if type(value) is dict:
            value = self[name] = Fields(value)
        elif type(value) is list:
            value[:] = [Fields(item) if type(item) is dict else item for item in value]
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    # The methods that code written for litellm or pydantic calls on a result.

    def model_dump(self, *, exclude_none: bool = False, mode: str = "python") -> dict[str, Any]:
        """Return a copy in plain dicts and lists; every `mode` gives the same."""
        dumped: dict[str, Any] = _plain(self, exclude_none)
        return dumped

    def to_dict(self) -> dict[str, Any]:
        """Return a copy in plain dicts and lists."""
        return self.model_dump()

    def json(self) -> dict[str, Any]:
        """Return a copy in plain dicts and lists, as litellm's method of this name does."""
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
    """The choices of a chunk without any: an empty list whose first item can still be read.

    OpenAI sends usage in such a chunk, and most code reads `chunk.choices[0].delta.content`.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return Fields(index=0, delta=Fields(content=None), finish_reason=None)
        return super().__getitem__(index)


class Chunk(Fields):
    """One step of a streamed completion, in OpenAI's `chat.completion.chunk` shape.

    `attempt` (from 1) and `seq` (from 0 within the attempt) number the chunk. They are not part of
    the JSON. A chunk that was not read from a stream has attempt 1 and no seq.
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

    def number(self, attempt: int, seq: int) -> Chunk:
        """Return this chunk, numbered `seq` of `attempt`."""
        set_attempt(self, attempt)
        set_seq(self, seq)
        return self


# The slot descriptors set a slot without the name check of `Chunk.__setattr__`.
set_attempt = Chunk.attempt.__set__  # type: ignore[attr-defined]
set_seq = Chunk.seq.__set__  # type: ignore[union-attr]


class Completion(Fields):
    """A whole completion, in OpenAI's `chat.completion` shape."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Discarded:
    """An attempt that the provider accepted, and bills, but whose response was not used.

    `model` is "provider/model", and `completion` is the part that had arrived. `counted` says
    whether the provider's usage covers all of that part. `kept` says that the usage is included in
    the delivered completion (after a resume) or in an error's `partial`, so that only tokens
    missing from it are lost.
    """

    model: str
    completion: Completion
    counted: bool
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Buffer:
    """How chunks are merged before the caller sees them: by time, by number, or by both.

    With `seconds`, the stream delivers at most one merged chunk in that time. With `chunks`, it
    merges that many chunks into one.
    """

    seconds: float = 0.0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request under OpenAI's names; `params` holds only the parameters that the caller set.

    `metadata` goes to logs and traces, not to the provider. The extra fields and headers may hold
    a key, so they are not in `repr`.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    drop_params: bool = False
    buffer: Buffer = Buffer()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The bytes of one HTTP request. All but the method may hold a key: it is not in `repr`."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Four limits in seconds; None means no limit.

    `connect` limits the time to reach the provider. `first_chunk` runs from sending to the first
    chunk, or to the whole response when not streaming. `inter_chunk` runs between chunks; comments
    and pings do not reset it. `total` covers the whole call, retries included.
    """

    connect: float | None = 10.0
    first_chunk: float | None = 300.0
    inter_chunk: float | None = 120.0
    total: float | None = None

    @classmethod
    def of(cls, value: Timeouts | float | None) -> Timeouts:
        """Return `value` as timeouts; a plain number sets every limit except `total`."""
        if value is None:
            return cls()
        if isinstance(value, Timeouts):
            return value
        return cls(connect=value, first_chunk=value, inter_chunk=value)
