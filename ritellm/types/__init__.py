"""The values that every module passes on: requests, chunks, completions, timeouts.

The modules here import nothing from outside this package and do nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from ritellm.types.fields import Fields as Fields
from ritellm.types.parts import Choices, Kinds, StreamingChoices, Usage
from ritellm.types.parts import NoChoices as NoChoices

_read = Fields.__getattr__


class Chunk(Fields):
    """One step of a streamed completion, in OpenAI's `chat.completion.chunk` shape.

    `attempt` (from 1) and `seq` (from 0 within the attempt) number the chunk. They are not part of
    the JSON. A chunk that was not read from a stream has attempt 1 and no seq.
    """

    __slots__ = ("attempt", "seq")
    _kinds: ClassVar[Kinds] = {"choices": StreamingChoices, "usage": Usage}

    attempt: int
    seq: int | None
    id: str | None
    model: str | None
    created: int | None
    choices: list[StreamingChoices]
    usage: Usage | None
    service_tier: str | None
    system_fingerprint: str | None

    def __getattr__(self, name: str) -> Any:
        # An `__init__` that set them would double the price of a chunk.
        if name == "attempt":
            return 1
        return None if name == "seq" else _read(self, name)  # `super()` would cost more

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
    """A whole completion, in OpenAI's `chat.completion` shape.

    `_hidden_params` is litellm's: the provider, the model and the cost. It is not part of the JSON.
    """

    __slots__ = ("_hidden_params", "_origin", "parsed")
    _kinds: ClassVar[Kinds] = {"choices": Choices, "usage": Usage}

    _origin: str | None  # the "provider/model" that was requested, if it is known
    # With `answer=Answer(schema)`: a dict, or an instance of the schema's pydantic model.
    parsed: Any
    id: str | None
    model: str | None
    created: int | None
    choices: list[Choices]
    usage: Usage | None
    usage_source: str  # "provider" or "missing"
    service_tier: str | None
    system_fingerprint: str | None

    def __getattr__(self, name: str) -> Any:
        if name == "_origin":
            return None
        if name == "_hidden_params":
            # By its name, because the prices are far above this module, and most never read them.
            self._hidden_params = import_module("ritellm.cost_calculator").hidden_params(self)
            return self._hidden_params
        return _read(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Completion.__slots__:
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            parsed: tuple[Any, ...] = (object.__getattribute__(self, "parsed"),)
        except AttributeError:
            parsed = ()
        return _completion, (type(self), dict(self), self._origin, *parsed)


def _completion(
    cls: type[Completion], fields: dict[str, Any], origin: str | None, *parsed: Any
) -> Completion:
    completion = cls(fields)
    completion._origin = origin
    if parsed:
        completion.parsed = parsed[0]
    return completion


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
    """Four limits in seconds; None means no limit."""

    connect: float | None = 10.0
    """Seconds to reach the provider: the name, the connection and TLS."""
    first_chunk: float | None = 300.0
    """Seconds from sending to the first chunk, or to the whole response when not streaming."""
    inter_chunk: float | None = 120.0
    """Seconds between two chunks. Comments and pings do not reset it."""
    total: float | None = None
    """Seconds of the whole call, retries included."""

    @classmethod
    def of(cls, value: Timeouts | float | None) -> Timeouts:
        """Return `value` as timeouts; a plain number sets every limit except `total`."""
        if value is None:
            return cls()
        if isinstance(value, Timeouts):
            return value
        return cls(connect=value, first_chunk=value, inter_chunk=value)
