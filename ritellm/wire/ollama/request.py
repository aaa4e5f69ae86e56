"""Requests of Ollama's own chat API: https://docs.ollama.com/api/chat. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.types import HttpRequest, Request
from ritellm.wire import models
from ritellm.wire.ollama.content import encode_messages
from ritellm.wire.request import (
    address,
    json_schema,
    max_tokens,
    post,
    present,
    refuse,
    stop_list,
    supported_params,
)

PATH = "/api/chat"
DIALECT = "Ollama"

_OPTIONS = {
    "frequency_penalty": "frequency_penalty",
    "min_p": "min_p",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repeat_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "typical_p": "typical_p",
}
PARAMS = frozenset(_OPTIONS) | frozenset(
    "logprobs max_completion_tokens max_tokens reasoning_effort response_format stop thinking"
    " tool_choice tools top_logprobs".split()
)


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    params = supported_params(request, PARAMS, DIALECT, router=True)
    options = present(
        **{ours: params.get(name) for name, ours in _OPTIONS.items()},
        num_predict=max_tokens(params),
        stop=stop_list(params),
    )
    body = present(
        model=request.model,
        messages=encode_messages(request.messages),
        stream=request.stream,
        options=options or None,
        tools=_tools(params, request) or None,
        format=_format(params),
        think=_think(params, request.model),
        logprobs=params.get("logprobs"),
        top_logprobs=params.get("top_logprobs"),
    )
    url = address(endpoint.base_url, PATH)
    return post(url, body, request, endpoint, "application/x-ndjson")


def _tools(params: Mapping[str, Any], request: Request) -> list[Any]:
    choice = params.get("tool_choice", "auto")
    if choice == "none":
        return []
    if choice != "auto":
        refuse(request, DIALECT, f"tool_choice {choice!r}")
    return list(params.get("tools") or ())


def _format(params: Mapping[str, Any]) -> Any:
    schema = json_schema(params)
    if schema is not None:
        return schema.get("schema") or {}
    kind = (params.get("response_format") or {}).get("type")
    return "json" if kind == "json_object" else None


def _think(params: Mapping[str, Any], model: str) -> Any:
    """Return whether to think, or at which level.

    Only gpt-oss has levels, and it cannot be told not to think. https://docs.ollama.com/thinking
    """
    wanted = params.get("thinking")
    if wanted is not None:
        return wanted.get("type") != "disabled" if isinstance(wanted, Mapping) else wanted
    effort = params.get("reasoning_effort")
    if effort is None or "gpt-oss" not in model:
        return None if effort is None else effort != "none"
    return False if effort == "none" else models.effort(model, effort)
