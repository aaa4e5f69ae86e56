"""Who serves a request: providers, and the endpoint that a call goes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ritellm.types import HttpRequest


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
