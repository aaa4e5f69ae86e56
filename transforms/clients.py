"""How a worker gets its client: from names, never from keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ritellm.errors import AuthenticationError
from ritellm.pacing import Limits
from transforms.asking import Means
from transforms.hedging import Hedge

if TYPE_CHECKING:
    from ritellm import AsyncClient


@dataclass(frozen=True)
class NewClient:
    """Makes a client where it is called: the key is read there, and travels in no job graph."""

    api_key_env: str | None = None
    base_url: str | None = None

    def __call__(self) -> AsyncClient:
        """Return a new client; raises AuthenticationError if the key's variable is not set."""
        from ritellm import AsyncClient

        defaults: dict[str, Any] = {"base_url": self.base_url}
        if self.api_key_env:
            defaults["api_key"] = key_in(self.api_key_env)
        return AsyncClient(**defaults)


@dataclass(frozen=True)
class NewMeans:
    """Makes what a process asks with: a client behind a gate, and its hedge. Called on the loop."""

    new_client: Callable[[], AsyncClient]
    limits: Limits
    hedge_after: float | str | None = None

    def __call__(self) -> Means:
        """Return new means."""
        from ritellm.gate import Gate

        client, gate = self.new_client(), Gate(self.limits)
        client.gate = gate
        hedge = Hedge(self.hedge_after) if self.hedge_after is not None else None
        return Means(client, gate, hedge)


def key_in(variable: str) -> str:
    """Return the key in the environment `variable`; raises AuthenticationError without it."""
    key = os.environ.get(variable)
    if not key:
        raise AuthenticationError(f"no key: the environment variable {variable} is not set here")
    return key
