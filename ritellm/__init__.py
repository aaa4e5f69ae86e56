"""A streaming client for language models: a complete answer, or an error with the partial one.

Importing is cheap: the first name that needs the HTTP stack or the JSON library loads them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ritellm.version import __version__ as __version__

if TYPE_CHECKING:
    from ritellm.api import acompletion, batch_completion, completion
    from ritellm.chunks import stream_chunk_builder
    from ritellm.chunks.delta_events import Finished, Grown, Superseded, Unfinished
    from ritellm.chunks.follow import Follower, follow
    from ritellm.client import Client
    from ritellm.client_async import AsyncClient
    from ritellm.instrumentation.hooks import CallEnd, on_end
    from ritellm.retry import RetryPolicy
    from ritellm.stream import Stream
    from ritellm.stream_async import AsyncStream
    from ritellm.structured.records import records
    from ritellm.types import Chunk, Completion, Timeouts


# Defaults that may be set on the module, as with litellm; an argument of a call overrides them.
drop_params: bool = False
num_retries: int | None = None
request_timeout: float | None = None

_OWN_SETTINGS = frozenset({"drop_params", "num_retries", "request_timeout"})

_HOMES = {
    "acompletion": "api",
    "batch_completion": "api",
    "completion": "api",
    "stream_chunk_builder": "chunks",
    "Client": "client",
    "Stream": "stream",
    "Answer": "answers.answer",
    "AsyncClient": "client_async",
    "AsyncStream": "stream_async",
    "CallEnd": "instrumentation.hooks",
    "Finished": "chunks.delta_events",
    "Follower": "chunks.follow",
    "Grown": "chunks.delta_events",
    "Superseded": "chunks.delta_events",
    "Unfinished": "chunks.delta_events",
    "follow": "chunks.follow",
    "on_end": "instrumentation.hooks",
    "RetryPolicy": "retry",
    "records": "structured.records",
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
# Modules that programs reach as attributes without an import of their own.
_MODULES = frozenset(
    {"cost_calculator", "dropin", "errors", "exceptions", "types", "utils", "wire"}
)

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "CallEnd",
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
    "on_end",
    "records",
    "stream_chunk_builder",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use; errors and litellm's names are public here too."""
    if home := _HOMES.get(name) or _ALIASES.get(name):
        value = getattr(import_module(f"ritellm.{home}"), name)
    elif name in _MODULES:
        value = import_module(f"ritellm.{name}")
    elif (value := _class(name)) is None:
        raise import_module("ritellm.dropin.absent").missing(name, sys._getframe(1))
    globals()[name] = value
    return value


def _class(name: str) -> Any:
    """Return the error or the part of a result that is called `name`, or None."""
    for home in ("exceptions", "types.utils") if name[:1].isupper() else ():
        module = import_module(f"ritellm.{home}")
        if name in vars(module) and name != "Any":
            return vars(module)[name]
    return None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Settings(ModuleType):
    """This module. It warns of settings that work with litellm and have no effect here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _OWN_SETTINGS and not isinstance(value, ModuleType):
            known = {*globals(), *_HOMES, *_ALIASES, *_MODULES}
            import_module("ritellm.dropin.absent").warn_of_setting(name, value, known)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Settings
