"""Requests of OpenAI's chat API, adapted to the quirks of the servers that follow it.

https://platform.openai.com/docs/api-reference/chat/create. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from ritellm.endpoints import Endpoint, Quirks
from ritellm.types import HttpRequest, Request
from ritellm.wire import models
from ritellm.wire.openai_chat.content import encode_messages
from ritellm.wire.request import is_router, post, supported_params

PATH = "/chat/completions"


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    body = body_of(request, endpoint)
    return post(address(endpoint.base_url), body, request, endpoint, "text/event-stream")


def address(base_url: str) -> str:
    """Return the address to send to; `base_url` is the root of the API, or the whole address."""
    base, mark, query = base_url.partition("?")
    base = base.rstrip("/")
    return (base if base.endswith(PATH) else base + PATH) + mark + query


def body_of(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    """Return the body of `request`; raises UnsupportedParamsError."""
    body = {
        "model": request.model,
        "messages": encode_messages(request.messages, endpoint.provider.quirks, request.model),
        **_params(request, endpoint),
    }
    if request.stream:
        body["stream"] = True
        if options := _stream_options(request, endpoint):
            body["stream_options"] = options
    return body


def _params(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    if not request.params:
        return {}
    quirks = endpoint.provider.quirks
    supported = request.params.keys() - quirks.lacks
    params = supported_params(request, supported, endpoint.provider.name, is_router(endpoint))
    params.pop("stream_options", None)
    if params.get("reasoning_effort"):
        params["reasoning_effort"] = _effort(params["reasoning_effort"], request.model, quirks)
    if not (params.get("tools") or request.extra_body.get("tools")):
        params.pop("parallel_tool_calls", None)  # OpenAI refuses it without tools
    if "max_completion_tokens" in params:
        params.pop("max_tokens", None)  # OpenAI refuses both
    if quirks.fields is not None and params.get("tools"):
        params["tools"] = [_uncached(tool) for tool in params["tools"]]
    patterns = (p for p in quirks.renames if fnmatchcase(request.model, p))
    names = quirks.renames.get(next(patterns, ""), {})
    renamed = {names[name]: value for name, value in params.items() if name in names}
    return {**renamed, **{name: value for name, value in params.items() if name not in names}}


def _effort(wanted: Any, model: str, quirks: Quirks) -> Any:
    """Return the level of effort in a word that the server and the model have."""
    words = (word for pattern, word in quirks.thinks.items() if fnmatchcase(model, pattern))
    word = next(words, None)
    return word if word and wanted != "none" else models.effort(model, wanted)


def _uncached(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool without its mark for a cache, which a strict schema refuses."""
    return {name: value for name, value in tool.items() if name != "cache_control"}


def _stream_options(request: Request, endpoint: Endpoint) -> dict[str, Any] | None:
    """Return the options to send; usage arrives only on request, and the caller's options count."""
    provider = endpoint.provider
    if provider.quirks.stream_options is None:
        return None
    # Another address means another server, which may reject options of the provider's own.
    own = provider.quirks.stream_options if endpoint.base_url == provider.base_url else {}
    options = {"include_usage": True, **own, **(request.params.get("stream_options") or {})}
    return options if options != {"include_usage": False} else None
