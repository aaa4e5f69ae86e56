"""Requests of Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages/create.

`body_of` also serves `vertex_anthropic`, which sends the same body to another address.
No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.types import HttpRequest, Request
from ritellm.wire.anthropic.content import encode_messages
from ritellm.wire.anthropic.thinking import Thinking, settled, stops
from ritellm.wire.request import (
    address,
    json_schema,
    object_schema,
    post,
    present,
    refuse,
    supported_params,
)

DIALECT = "Anthropic"

PARAMS = frozenset(
    "max_completion_tokens max_tokens metadata parallel_tool_calls reasoning_effort"
    " response_format safety_identifier service_tier stop temperature thinking tool_choice tools"
    " top_k top_p user web_search_options".split()
)

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


PATH = "/v1/messages"

# The next version, 2026-10-21, refuses temperature, top_p and top_k for every model. A caller can
# choose it with an extra header: https://platform.claude.com/docs/en/api/versioning
VERSION = "2023-06-01"
STREAM = "text/event-stream"


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    body = {"model": request.model, **body_of(request)}
    headers = present(**{"anthropic-version": VERSION, "x-api-key": endpoint.key})
    headers.update((name.lower(), value) for name, value in request.extra_headers.items())
    request, keyless = replace(request, extra_headers=headers), replace(endpoint, key=None)
    return post(address(endpoint.base_url, PATH), body, request, keyless, STREAM)


def body_of(request: Request) -> dict[str, Any]:
    """Return the body of `request` without the model; raises UnsupportedParamsError."""
    params, thinking = settled(supported_params(request, PARAMS, DIALECT), request, DIALECT)
    system, messages = encode_messages(request.messages)
    tools, choice = _tools(params, request), _tool_choice(params, request)
    if not tools and "claude" in request.model and "tools" not in request.extra_body:
        tools, choice = _tools_called(messages), {"type": "none"}
    body = present(
        max_tokens=thinking.limit,
        system=system or None,
        messages=messages,
        thinking=thinking.config,
        temperature=params.get("temperature"),
        top_p=params.get("top_p"),
        top_k=params.get("top_k"),
        stop_sequences=stops(params, request, DIALECT),
        tools=tools or None,
        tool_choice=choice if tools else None,
        output_config=_output_config(params, request, thinking) or None,
        metadata=_metadata(params, request),
        service_tier=_service_tier(params, request),
    )
    return {**body, "stream": True} if request.stream else body


def _output_config(
    params: Mapping[str, Any], request: Request, thinking: Thinking
) -> dict[str, Any]:
    config: dict[str, Any] = present(effort=thinking.effort)
    wanted = json_schema(params)
    if wanted is not None:
        config["format"] = {"type": "json_schema", "schema": wanted.get("schema") or {}}
    elif (params.get("response_format") or {}).get("type") == "json_object":
        refuse(
            request,
            DIALECT,
            "response_format json_object",
            "describe the object with json_schema instead",
        )
    return config


def _tools(params: Mapping[str, Any], request: Request) -> list[dict[str, Any]]:
    tools = [_tool(tool) for tool in params.get("tools") or ()]
    search = params.get("web_search_options")
    if search is not None:
        tools.append(_web_search(search, request))
    return tools


def _tools_called(turns: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools that the turns have called, by name: Claude refuses calls without tools."""
    blocks = [block for turn in turns for block in turn["content"]]
    names = dict.fromkeys(b["name"] for b in blocks if b["type"] == "tool_use")
    return [{"name": name, "input_schema": {"type": "object"}} for name in names]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "function" not in tool:
        if "custom" in tool:
            raise InvalidRequestError(f"{DIALECT} has no custom tools, only functions")
        return dict(tool)  # one of Anthropic's own: web_search_20250305, bash_20250124, ...
    function = tool["function"]
    return present(
        name=function.get("name"),
        description=function.get("description"),
        input_schema=object_schema(function.get("parameters")),
        strict=function.get("strict"),
        cache_control=tool.get("cache_control") or function.get("cache_control"),
    )


def _web_search(options: Mapping[str, Any], request: Request) -> dict[str, Any]:
    if options.get("search_context_size") not in (None, "medium"):
        refuse(request, DIALECT, "search_context_size", "leave it out")
    place = options.get("user_location") or {}
    near = {"type": "approximate", **(place.get("approximate") or {})} if place else None
    return present(type="web_search_20250305", name="web_search", user_location=near)


def _tool_choice(params: Mapping[str, Any], request: Request) -> dict[str, Any] | None:
    wanted = params.get("tool_choice")
    serial = params.get("parallel_tool_calls") is False and bool(params.get("tools"))
    if not serial and (wanted is None or (wanted in ("auto", "none") and not params.get("tools"))):
        return None
    choice = _choice(wanted, request)
    if serial and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return choice


def _choice(wanted: Any, request: Request) -> dict[str, Any]:
    words = {None: "auto", "auto": "auto", "required": "any", "none": "none"}
    if wanted is None or isinstance(wanted, str):
        if wanted not in words:
            raise InvalidRequestError(f"tool_choice must be auto, none or required, got {wanted!r}")
        return {"type": words[wanted]}
    if wanted.get("type") == "function":
        return {"type": "tool", "name": (wanted.get("function") or {}).get("name")}
    if wanted.get("type") == "allowed_tools":
        refuse(request, DIALECT, "tool_choice allowed_tools", "pass only these tools")
        return {"type": "auto"}
    return dict(wanted)  # Anthropic's own shape


def _metadata(params: Mapping[str, Any], request: Request) -> dict[str, Any] | None:
    user = params.get("safety_identifier") or params.get("user")
    given = params.get("metadata") or {}
    if given.keys() - {"user_id"}:
        refuse(request, DIALECT, "metadata but user_id", "leave the other fields out")
    user = user or given.get("user_id") or request.metadata.get("user_id")
    return {"user_id": user} if user else None


def _service_tier(params: Mapping[str, Any], request: Request) -> str | None:
    tier = params.get("service_tier")
    if tier is not None and tier not in _SERVICE_TIERS:
        refuse(request, DIALECT, f"service_tier {tier!r}", "use auto or default")
    return _SERVICE_TIERS.get(tier or "")
