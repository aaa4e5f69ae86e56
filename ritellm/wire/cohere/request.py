"""Requests of Cohere's v2 chat API.

https://docs.cohere.com/reference/chat. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.types import HttpRequest, Request
from ritellm.wire.cohere.content import encode_messages
from ritellm.wire.request import (
    address,
    json_schema,
    max_tokens,
    object_schema,
    post,
    present,
    refuse,
    stop_list,
    supported_params,
)

PATH = "/v2/chat"
DIALECT = "Cohere"

_NAMES = {
    "frequency_penalty": "frequency_penalty",
    "logprobs": "logprobs",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "k",
    "top_p": "p",
}
PARAMS = frozenset(_NAMES) | frozenset(
    "max_completion_tokens max_tokens reasoning_effort response_format stop thinking tool_choice"
    " tools".split()
)
_TOOL_CHOICES = {"auto": None, "required": "REQUIRED", "none": "NONE"}


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    params = supported_params(request, PARAMS, DIALECT)
    tools = params.get("tools") or ()
    body = present(
        model=request.model,
        messages=encode_messages(request.messages),
        stream=request.stream,
        **{_NAMES[name]: value for name, value in params.items() if name in _NAMES},
        max_tokens=max_tokens(params),
        stop_sequences=stop_list(params),
        tools=[_tool(tool) for tool in tools] or None,
        strict_tools=_strict(tools),
        tool_choice=_tool_choice(params.get("tool_choice"), request),
        response_format=_response_format(params, request),
        thinking=_thinking(params),
    )
    return post(address(endpoint.base_url, PATH), body, request, endpoint, "text/event-stream")


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not function:
        raise InvalidRequestError(f"{DIALECT} has no tools of type {tool.get('type')!r}")
    described = present(
        name=function.get("name"),
        description=function.get("description"),
        parameters=object_schema(function.get("parameters")),
    )
    return {"type": "function", "function": described}


def _strict(tools: Iterable[Mapping[str, Any]]) -> bool | None:
    """Return whether the schemas of tools are strict, which Cohere decides for all or none."""
    return any((tool.get("function") or {}).get("strict") for tool in tools) or None


def _tool_choice(choice: Any, request: Request) -> str | None:
    if choice is None or isinstance(choice, str):
        if choice is not None and choice not in _TOOL_CHOICES:
            raise InvalidRequestError(f"tool_choice must be auto, none or required, got {choice!r}")
        return _TOOL_CHOICES.get(choice or "auto")
    refuse(request, DIALECT, "tool_choice of one named tool")
    return None


def _response_format(params: Mapping[str, Any], request: Request) -> Any:
    """Return the format; Cohere has no JSON beside tools, as its API reference says."""
    wanted = params.get("response_format") or {}
    if params.get("tools") and wanted.get("type") not in (None, "text"):
        refuse(request, DIALECT, "JSON as response_format beside tools")
        return None
    schema = json_schema(params)
    if schema is None:
        return wanted or None
    return {"type": "json_object", "json_schema": schema.get("schema") or {}}


def _thinking(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return whether to think; Cohere has no levels of effort, only a `token_budget`."""
    wanted = params.get("thinking")
    if wanted is not None:
        budget = wanted.get("token_budget", wanted.get("budget_tokens"))
        return present(type=wanted.get("type"), token_budget=budget)
    effort = params.get("reasoning_effort")
    return {"type": "disabled" if effort == "none" else "enabled"} if effort else None
