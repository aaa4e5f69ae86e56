"""A streaming client for language models: a complete answer, or an error with the partial one.

Importing is cheap: the first name that needs the HTTP stack or the JSON library loads them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ritellm.api import acompletion, batch_completion, completion
    from ritellm.chunks import stream_chunk_builder
    from ritellm.chunks.follow import Finished, Follower, Grown, Superseded, Unfinished, follow
    from ritellm.client import Client, Stream
    from ritellm.client_async import AsyncClient, AsyncStream
    from ritellm.retry import RetryPolicy
    from ritellm.types import Chunk, Completion, Timeouts

__version__ = "0.1.0"

# Defaults that may be set on the module, as with litellm; an argument of a call overrides them.
drop_params: bool = False
num_retries: int | None = None
request_timeout: float | None = None

_HOMES = {
    "acompletion": "api",
    "batch_completion": "api",
    "completion": "api",
    "stream_chunk_builder": "chunks",
    "Client": "client",
    "Stream": "client",
    "AsyncClient": "client_async",
    "AsyncStream": "client_async",
    "Finished": "chunks.follow",
    "Follower": "chunks.follow",
    "Grown": "chunks.follow",
    "Superseded": "chunks.follow",
    "Unfinished": "chunks.follow",
    "follow": "chunks.follow",
    "RetryPolicy": "retry",
    "Chunk": "types",
    "Completion": "types",
    "Timeouts": "types",
}

# litellm's names.
_ALIASES = {
    "CustomStreamWrapper": "Stream",
    "ModelResponse": "Completion",
    "ModelResponseStream": "Chunk",
}

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Chunk",
    "Client",
    "Completion",
    "Finished",
    "Follower",
    "Grown",
    "RetryPolicy",
    "Stream",
    "Superseded",
    "Timeouts",
    "Unfinished",
    "acompletion",
    "batch_completion",
    "completion",
    "follow",
    "stream_chunk_builder",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use; errors are public here too, as in litellm."""
    name_here = _ALIASES.get(name, name)
    if name_here in _HOMES:
        value = getattr(import_module(f"ritellm.{_HOMES[name_here]}"), name_here)
    elif name == "exceptions":
        value = import_module("ritellm.exceptions")
    elif name[:1].isupper() and hasattr(import_module("ritellm.errors"), name):
        value = getattr(import_module("ritellm.errors"), name)
    else:
        raise AttributeError(f"module 'ritellm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
