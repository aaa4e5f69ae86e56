"""Which of OpenAI's parameters a provider's dialect can express. Pure."""

from __future__ import annotations

from importlib import import_module

from ritellm.calls.params import CHAT_PARAMS
from ritellm.endpoints import Provider
from ritellm.wire.capabilities import CAPABILITIES


def params_of(provider: Provider, wire: str) -> frozenset[str]:
    """Return the names of the parameters that `provider` takes in the dialect `wire`."""
    module = CAPABILITIES[wire].params_in
    known = import_module(f"ritellm.wire.{module}.request").PARAMS if module else CHAT_PARAMS
    return frozenset(known) - provider.quirks.lacks
