"""Which features a request to a model can express: litellm's `supports_...` functions.

The answer comes from building such a request: the dialect, the provider's row and the model's
family decide. ritellm has no list of all models. True means that the request can be sent; the model
may still refuse it. An unknown provider supports nothing, as with litellm. What a program registers
about a model (`register_model`) counts first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ritellm.calls.support import params_of
from ritellm.dropin.names import prefixed
from ritellm.dropin.registry import registered
from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.providers import route, split_model
from ritellm.types import Request
from ritellm.wire import load, models

_SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
_TOOLS = [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}]
_IMAGE = "data:image/png;base64,AA=="
_PDF = "data:application/pdf;base64,AA=="

# A request that has the feature: its parameters, or a part of its message.
_PARAMS: Mapping[str, Mapping[str, Any]] = {
    "function_calling": {"tools": _TOOLS},
    "parallel_function_calling": {"tools": _TOOLS, "parallel_tool_calls": False},
    "reasoning": {"reasoning_effort": "low"},
    "response_schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": _SCHEMA}}
    },
    "system_messages": {},
    "tool_choice": {"tools": _TOOLS, "tool_choice": "required"},
}
_PARTS: Mapping[str, Mapping[str, Any]] = {
    "pdf_input": {"type": "file", "file": {"file_data": _PDF, "filename": "x.pdf"}},
    "vision": {"type": "image_url", "image_url": {"url": _IMAGE}},
}
FEATURES = (*_PARAMS, *_PARTS)


def supports(model: str, feature: str, custom_llm_provider: str | None = None) -> bool:
    """Return whether a request to `model` can express `feature`, one of `FEATURES`."""
    name = prefixed(model, custom_llm_provider)
    known = registered(name).get(f"supports_{feature}")
    return _can_be_sent(name, feature) if known is None else bool(known)


@lru_cache(maxsize=1024)
def _can_be_sent(model: str, feature: str) -> bool:
    try:
        provider, rest = split_model(model)
    except InvalidRequestError:
        return False
    wire, rest = route(provider, rest)
    content = [{"type": "text", "text": "x"}, *([_PARTS[feature]] if feature in _PARTS else [])]
    params = _PARAMS.get(feature, {})
    if any(models.refused(rest, params).values()):
        return False
    request = Request(rest, [{"role": "user", "content": content}], params)
    try:
        load(wire).build_request(request, Endpoint(provider, "https://host.invalid", "key", wire))
    except InvalidRequestError:
        return False
    return True


def get_supported_openai_params(
    model: str, custom_llm_provider: str | None = None, request_type: str = "chat_completion"
) -> list[str] | None:
    """Return the names of the parameters that a request to `model` can express, sorted.

    None for an unknown provider, and for a `request_type` other than "chat_completion".
    """
    name = prefixed(model, custom_llm_provider)
    try:
        provider, rest = split_model(name)
    except InvalidRequestError:
        return None
    if request_type != "chat_completion":
        return None
    wire, rest = route(provider, rest)
    family = models.family(rest)
    names = params_of(provider, wire) | {"stream", "stream_options"}
    refused = frozenset() if family.if_thinking else family.refuses
    silent = {"reasoning_effort"} if not supports(name, "reasoning") else set()
    return sorted(names - refused - silent)


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
