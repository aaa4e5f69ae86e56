"""A streaming client for language models: `completion(..., stream=True)`, whole or an error.

Importing is cheap: the HTTP stack and the JSON library come with the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ritellm.api import acompletion, completion
    from ritellm.chunks import stream_chunk_builder
    from ritellm.client import Client, Stream
    from ritellm.client_async import AsyncClient, AsyncStream
    from ritellm.retry import RetryPolicy
    from ritellm.types import Chunk, Completion, Timeouts

__version__ = "0.1.0"

_HOMES = {
    "acompletion": "api",
    "completion": "api",
    "stream_chunk_builder": "chunks",
    "Client": "client",
    "Stream": "client",
    "AsyncClient": "client_async",
    "AsyncStream": "client_async",
    "RetryPolicy": "retry",
    "Chunk": "types",
    "Completion": "types",
    "Timeouts": "types",
}

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Chunk",
    "Client",
    "Completion",
    "RetryPolicy",
    "Stream",
    "Timeouts",
    "acompletion",
    "completion",
    "stream_chunk_builder",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use; errors are found here too, as in litellm."""
    if name in _HOMES:
        value = getattr(import_module(f"ritellm.{_HOMES[name]}"), name)
    elif name[:1].isupper() and hasattr(import_module("ritellm.errors"), name):
        value = getattr(import_module("ritellm.errors"), name)
    else:
        raise AttributeError(f"module 'ritellm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
