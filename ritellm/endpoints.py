"""What describes a provider, and the endpoint (address, key, dialect) that a request goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ritellm.masking import masked_url, without
from ritellm.types import HttpRequest


@dataclass(frozen=True, slots=True)
class Prefill:
    """How to send a server the beginning of a completion, so that it resumes from there.

    `message` is merged into that last message, and `body` into the body of the request. `path` is
    the address that allows it, if that is another one. With `echoes`, the response repeats the
    beginning. With `strips`, the beginning must not end in white space. `models` are patterns of
    the models that support it. `unless` names the parameters that exclude it.
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
    """How a server differs from OpenAI's chat dialect.

    `stream_options` is sent with every stream, together with `include_usage`; None means that the
    server rejects the field. `renames` maps patterns of models to the server's names of parameters.
    `lacks` are the parameters that its documentation calls unsupported. `takes_back` are the fields
    of a completion that the server accepts in the next request, with the server's names for them;
    other such fields are left out. `fields` are all fields of a message that a strict schema
    accepts; None means that unknown ones pass. With `developer`, the server knows that role, which
    is `system` elsewhere. `call_ids` is a pattern of the ids of tool calls. A `router` leaves out
    parameters that a model refuses. `thinks` maps patterns of models that only think or do not to
    the server's word for thinking, which replaces every `reasoning_effort` except "none".
    `prefill` says how an interrupted completion can be resumed. With `background`, the Responses
    API continues without a connection, and a new one can resume the stream.
    """

    stream_options: Mapping[str, Any] | None = field(default_factory=dict)
    renames: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    takes_back: Mapping[str, str] = field(default_factory=dict)
    fields: frozenset[str] | None = None
    developer: bool = False
    call_ids: str = ""
    router: bool = False
    thinks: Mapping[str, str] = field(default_factory=dict)
    prefill: Prefill | None = None
    background: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider: its name, its address, the variable that holds the key, and its dialect.

    A string of variable names may hold several names; the first variable that is set counts. The
    address is also read from NAME_BASE_URL, NAME_API_BASE and then `url_env`; it may contain
    `{option}`. `options` maps the arguments of `completion()` that only this provider understands
    to variables. `headers` maps headers to options. `routes` maps patterns of model names to
    dialects; a pattern that ends in a slash is removed from the name.

    `launcher` names a function ("package.module:function") that starts the provider on this
    machine and returns an object with `base_url` and `api_key`. `resolver` names a function that
    makes the endpoint of a provider for which a key and an address are not enough.
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
    """One recorded attempt; times are seconds since the request was sent.

    `status` is None if there was no response. `error` is the network's error, or None if the body
    arrived to its end.
    """

    status: int | None = 200
    headers: Sequence[tuple[str, str]] = ()
    data: Sequence[tuple[float, bytes]] = ()
    error: Exception | None = None
    responded: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Tape:
    """Recorded attempts that are replayed instead of sending requests.

    With `timed`, the replay keeps the recorded times; `delays` are the pauses between attempts.
    """

    takes: Sequence[Take]
    timed: bool = False
    delays: Sequence[float] = ()

    def take(self, attempt: int) -> Take:
        """Return the take for `attempt` (from 1)."""
        return self.takes[min(attempt, len(self.takes)) - 1]

    def delay(self, attempt: int) -> float | None:
        """Return the seconds to wait after failed `attempt`, or None if it was the last."""
        if attempt >= len(self.takes):
            return None
        return self.delays[attempt - 1] if self.timed and attempt <= len(self.delays) else 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """A provider at an address, with the key that opens it.

    `base_url` has no user and password; `login` has them, as they were written there. `wire` names
    the dialect of this model. `options` are the provider's own settings (a region, a project, an
    API version). `signer` signs the finished request where a header with the key is not enough
    (AWS). No message may show the `secrets`. `opener` returns this endpoint with an address and
    with a key that has not expired; it may block. With a `tape`, recorded attempts are replayed and
    nothing is sent.
    """

    provider: Provider
    base_url: str
    key: str | None = None
    wire: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    signer: Callable[[HttpRequest], HttpRequest] | None = None
    secrets: tuple[str, ...] = ()
    opener: Callable[[], Endpoint] | None = None
    tape: Tape | None = None
    login: str | None = None

    def scrub(self, text: str) -> str:
        """Return `text` without keys and secrets, for messages that leave this process."""
        return without((self.key or "", *self.secrets), text)

    def __repr__(self) -> str:
        where = masked_url(self.base_url)
        return f"Endpoint({self.provider.name!r}, {where!r}, wire={self.wire!r})"
