"""Which features a request to a model can express: litellm's `supports_...` functions.

ritellm knows providers and dialects, not each model. True means that the request can be sent; the
model may still refuse it. An unknown provider supports nothing, as with litellm. What a program
registers about a model (`register_model`) counts first.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from ritellm.calls.support import params_of
from ritellm.dropin.names import prefixed
from ritellm.dropin.registry import registered
from ritellm.endpoints import Provider
from ritellm.errors import InvalidRequestError
from ritellm.providers import route, split_model
from ritellm.wire.capabilities import CAPABILITIES

# The parameter that expresses a feature.
_PARAMS = {
    "function_calling": "tools",
    "parallel_function_calling": "parallel_tool_calls",
    "reasoning": "reasoning_effort",
    "response_schema": "response_format",
    "tool_choice": "tool_choice",
}
FEATURES = (*_PARAMS, "pdf_input", "system_messages", "vision")


def supports(model: str, feature: str, custom_llm_provider: str | None = None) -> bool:
    """Return whether a request to `model` can express `feature`, one of `FEATURES`."""
    name = prefixed(model, custom_llm_provider)
    known = registered(name).get(f"supports_{feature}")
    if known is not None:
        return bool(known)
    try:
        provider, rest = split_model(name)
    except InvalidRequestError:
        return False
    wire, rest = route(provider, rest)
    if feature == "reasoning" and not _may_reason(provider, rest):
        return False
    if feature in _PARAMS:
        return _PARAMS[feature] in params_of(provider, wire)
    can = CAPABILITIES[wire]
    return {"vision": can.images, "pdf_input": can.files}.get(feature, True)


def get_supported_openai_params(
    model: str, custom_llm_provider: str | None = None, request_type: str = "chat_completion"
) -> list[str] | None:
    """Return the names of the parameters that a request to `model` can express, sorted.

    None for an unknown provider, and for a `request_type` other than "chat_completion".
    """
    try:
        provider, rest = split_model(prefixed(model, custom_llm_provider))
    except InvalidRequestError:
        return None
    if request_type != "chat_completion":
        return None
    wire, rest = route(provider, rest)
    names = params_of(provider, wire) | {"stream", "stream_options"}
    return sorted(names - (set() if _may_reason(provider, rest) else {"reasoning_effort"}))


def _may_reason(provider: Provider, model: str) -> bool:
    """Return False for a model that a provider's row tells from its reasoning models."""
    patterns = [
        pattern
        for pattern, names in provider.quirks.renames.items()
        if pattern != "*" and names.get("max_tokens") == "max_completion_tokens"
    ]
    return not patterns or any(fnmatchcase(model, pattern) for pattern in patterns)


def _supports(feature: str) -> Callable[..., bool]:
    def supported(model: str, custom_llm_provider: str | None = None) -> bool:
        return supports(model, feature, custom_llm_provider)

    supported.__name__ = supported.__qualname__ = f"supports_{feature}"
    supported.__doc__ = f"Return whether a request to `model` can express {feature}."
    return supported


supports_function_calling = _supports("function_calling")
supports_parallel_function_calling = _supports("parallel_function_calling")
supports_pdf_input = _supports("pdf_input")
supports_reasoning = _supports("reasoning")
supports_response_schema = _supports("response_schema")
supports_system_messages = _supports("system_messages")
supports_tool_choice = _supports("tool_choice")
supports_vision = _supports("vision")
