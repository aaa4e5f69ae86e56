"""How a worker gets its client: from names, never from keys."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ritellm.errors import AuthenticationError

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


def key_in(variable: str) -> str:
    """Return the key in the environment `variable`; raises AuthenticationError without it."""
    key = os.environ.get(variable)
    if not key:
        raise AuthenticationError(f"no key: the environment variable {variable} is not set here")
    return key
