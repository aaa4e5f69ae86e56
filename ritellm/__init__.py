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

# litellm's names, and where they are.
_ALIASES = {
    "CustomStreamWrapper": "utils",
    "completion_cost": "cost_calculator",
    "cost_per_token": "cost_calculator",
    "get_llm_provider": "utils",
    "get_model_info": "utils",
    "get_supported_openai_params": "utils",
    "model_cost": "dropin.models",
    "register_model": "utils",
    "supports_function_calling": "utils",
    "supports_parallel_function_calling": "utils",
    "supports_pdf_input": "utils",
    "supports_reasoning": "utils",
    "supports_response_schema": "utils",
    "supports_system_messages": "utils",
    "supports_tool_choice": "utils",
    "supports_vision": "utils",
    "token_counter": "utils",
    "validate_environment": "utils",
}
# litellm's modules, which programs reach as attributes without an import of their own.
_MODULES = frozenset({"cost_calculator", "exceptions", "types", "utils"})

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
    """Import a public name on first use; errors and litellm's names are public here too."""
    if home := _HOMES.get(name) or _ALIASES.get(name):
        value = getattr(import_module(f"ritellm.{home}"), name)
    elif name in _MODULES:
        value = import_module(f"ritellm.{name}")
    else:
        value = _class(name)
    globals()[name] = value
    return value


def _class(name: str) -> Any:
    """Return the error or the part of a result that is called `name`."""
    for home in ("exceptions", "types.utils") if name[:1].isupper() else ():
        module = import_module(f"ritellm.{home}")
        if name in vars(module) and name != "Any":
            return vars(module)[name]
    raise AttributeError(f"module 'ritellm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
