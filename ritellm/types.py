"""The values that travel: what is asked, where it goes, and what comes back.

Imports nothing of ours and does nothing; every other module speaks in these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
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
class Prefill:
    """How a server is given the beginning of its answer, to go on from there.

    `message` is laid over that last message, `body` over the body; `path` leads to where it is
    allowed. With `echoes` the answer repeats the beginning, with `strips` the beginning may not end
    in a blank. `models` are the patterns of those that can, `unless` the parameters that rule it
    out.
    """

    message: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    echoes: bool = False
    strips: bool = False
    models: Sequence[str] = ("*",)
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where a server departs from OpenAI's chat dialect; read by that dialect.

    `stream_options` is sent with every stream, beside `include_usage`; None if the server rejects
    the field. `renames` holds, per pattern of models, the server's name for a parameter. `lacks`
    are parameters that its documentation calls unsupported. `takes_back` are the fields of an
    answer that it wants to see again in the next request; others of that kind are left out.
    `prefill` says how an answer that broke off can go on; with `background` the Responses API keeps
    answering and can be listened to again.
    """

    stream_options: Mapping[str, Any] | None = field(default_factory=dict)
    renames: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    takes_back: frozenset[str] = frozenset()
    prefill: Prefill | None = None
    background: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves: a name, an address, the variable its key is read from, and a dialect.

    Where names of variables stand there may be several, in one string: the first that is set
    counts. The address is also read from NAME_BASE_URL and NAME_API_BASE, and then from `url_env`;
    it may hold `{option}`. `options` maps arguments of `completion()` that only this provider
    understands to variables, `headers` maps headers to options. `routes` maps patterns of model
    names to the dialect spoken for them; a pattern that ends in a slash is cut off the name.

    `launcher` names a function ("package.module:function") that starts the provider on this
    machine and returns an object with `base_url` and `api_key`; `resolver` names one that makes
    the endpoint where a key and an address are not enough.
    """

    name: str
    wire: str
    base_url: str | None = None
    key_env: str = ""
    key_optional: bool = False
    launcher: str | None = None
    url_env: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[str, str] = field(default_factory=dict)
    resolver: str | None = None
    quirks: Quirks = field(default_factory=Quirks)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Take:
    """One attempt as it went over the wire: times are seconds since the request was sent.

    `status` is None where no response came. `error` is how the network ended it; None where the
    body came to its end.
    """

    status: int | None = 200
    headers: Sequence[tuple[str, str]] = ()
    data: Sequence[tuple[float, bytes]] = ()
    error: Exception | None = None
    answered: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Tape:
    """What is played instead of asking anybody: one take per attempt; in its own time if `timed`.

    `delays` are the pauses between the takes.
    """

    takes: Sequence[Take]
    timed: bool = False
    delays: Sequence[float] = ()

    def take(self, attempt: int) -> Take:
        """Return what the `attempt` (from 1) gets."""
        return self.takes[min(attempt, len(self.takes)) - 1]

    def delay(self, attempt: int) -> float | None:
        """Return the seconds to wait after failed `attempt`, or None if it was the last."""
        if attempt >= len(self.takes):
            return None
        return self.delays[attempt - 1] if self.timed and attempt <= len(self.delays) else 0.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider at an address, with the key that opens it.

    `wire` names the dialect spoken there for this model; `options` are the provider's own settings
    (a region, a project, an API version); `signer` signs the finished request where a header with
    the key is not enough (AWS), with `secrets` that no message may show. `opener` returns this
    endpoint with an address and a key that has not expired; it may block. With a `tape` nobody is
    asked.
    """

    provider: Provider
    base_url: str
    key: str | None = field(default=None, repr=False)
    wire: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    signer: Callable[[HttpRequest], HttpRequest] | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    opener: Callable[[], Endpoint] | None = field(default=None, repr=False)
    tape: Tape | None = field(default=None, repr=False)

    def scrub(self, text: str) -> str:
        """Return `text` without the key, for messages that leave this process."""
        for secret in sorted({self.key or "", *self.secrets} - {""}, key=len, reverse=True):
            # A short one is a placeholder ("x", "EMPTY"): inside a word it is no key.
            whole = r"(?<!\w){}(?!\w)" if len(secret) < 8 else "{}"
            text = re.sub(whole.format(re.escape(secret)), "[key]", text)
        return text


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
