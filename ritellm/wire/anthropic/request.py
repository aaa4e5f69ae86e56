"""Requests of Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages/create.

`body_of` also serves `vertex_anthropic`, which sends the same body to another address.
No I/O and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.types import HttpRequest, Request
from ritellm.wire.anthropic.content import encode_messages
from ritellm.wire.request import (
    address,
    json_schema,
    max_tokens,
    post,
    present,
    stop_list,
    supported_params,
)

DIALECT = "Anthropic"

PARAMS = frozenset(
    "max_completion_tokens max_tokens metadata parallel_tool_calls reasoning_effort"
    " response_format safety_identifier service_tier stop temperature thinking tool_choice tools"
    " top_k top_p user web_search_options".split()
)

# Anthropic requires a limit. Models from Claude 4.6 on think by default and count the thoughts
# against it, and allow far more. The older models allow about as much as this.
DEFAULT_MAX_TOKENS = 8_192
ADAPTIVE_MAX_TOKENS = 32_000

# The budgets for thinking, for models that require a number.
_BUDGETS = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_000,
    "max": 32_000,
}
_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:-(\d{1,2})(?!\d))?")


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
    params = supported_params(request, PARAMS, DIALECT)
    system, messages = encode_messages(request.messages)
    thinking = params.get("thinking") or _thinking(params, request.model)
    body = present(
        max_tokens=_limit(params, thinking, request.model),
        system=system or None,
        messages=messages,
        thinking=thinking,
        temperature=params.get("temperature"),
        top_p=params.get("top_p"),
        top_k=params.get("top_k"),
        stop_sequences=stop_list(params),
        tools=_tools(params, request) or None,
        tool_choice=_tool_choice(params, request),
        output_config=_output_config(params, request) or None,
        metadata=_metadata(params, request),
        service_tier=_service_tier(params, request),
    )
    return {**body, "stream": True} if request.stream else body


def adaptive(model: str) -> bool:
    """Return whether `model` decides itself how much to think (Claude 4.6 and later).

    Older models require a budget, and so do models of other makers that use this dialect.
    """
    version = _VERSION.search(model)
    if version is None:
        return "claude" in model
    return (int(version[1]), int(version[2] or 0)) >= (4, 6)


def _thinking(params: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    effort = params.get("reasoning_effort")
    if effort is None:
        return None
    if effort == "none":
        return {"type": "disabled"}
    if adaptive(model):
        # Since Claude 4.7 the thoughts are not sent by default.
        return {"type": "adaptive", "display": "summarized"}
    if effort not in _BUDGETS:
        raise InvalidRequestError(
            f"reasoning_effort must be one of none, {', '.join(_BUDGETS)}, got {effort!r}"
        )
    # Anthropic counts the thoughts within max_tokens. Half of it is left for the text.
    half = int(max_tokens(params) or 2 * _BUDGETS[effort]) // 2
    return {"type": "enabled", "budget_tokens": max(1_024, min(_BUDGETS[effort], half))}


def _limit(params: Mapping[str, Any], thinking: Mapping[str, Any] | None, model: str) -> Any:
    """Return max_tokens; the default leaves room for the text after the thoughts."""
    given = max_tokens(params)
    if given is not None:
        return given
    if adaptive(model):
        return ADAPTIVE_MAX_TOKENS
    return DEFAULT_MAX_TOKENS + int((thinking or {}).get("budget_tokens") or 0)


def _output_config(params: Mapping[str, Any], request: Request) -> dict[str, Any]:
    config: dict[str, Any] = {}
    effort = params.get("reasoning_effort")
    if effort not in (None, "none") and adaptive(request.model):
        config["effort"] = "low" if effort == "minimal" else effort
    wanted = json_schema(params)
    if wanted is not None:
        config["format"] = {"type": "json_schema", "schema": wanted.get("schema") or {}}
    elif (params.get("response_format") or {}).get("type") == "json_object":
        _refuse(
            request, "response_format json_object", "describe the object with json_schema instead"
        )
    return config


def _tools(params: Mapping[str, Any], request: Request) -> list[dict[str, Any]]:
    tools = [_tool(tool) for tool in params.get("tools") or ()]
    search = params.get("web_search_options")
    if search is not None:
        tools.append(_web_search(search, request))
    return tools


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "function" not in tool:
        if "custom" in tool:
            raise InvalidRequestError(f"{DIALECT} has no custom tools, only functions")
        return dict(tool)  # one of Anthropic's own: web_search_20250305, bash_20250124, ...
    function = tool["function"]
    return present(
        name=function.get("name"),
        description=function.get("description"),
        input_schema=function.get("parameters") or {"type": "object", "properties": {}},
        strict=function.get("strict"),
        cache_control=tool.get("cache_control") or function.get("cache_control"),
    )


def _web_search(options: Mapping[str, Any], request: Request) -> dict[str, Any]:
    if options.get("search_context_size") not in (None, "medium"):
        _refuse(request, "search_context_size", "leave it out")
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
        _refuse(request, "tool_choice allowed_tools", "pass only these tools")
        return {"type": "auto"}
    return dict(wanted)  # Anthropic's own shape


def _metadata(params: Mapping[str, Any], request: Request) -> dict[str, Any] | None:
    user = params.get("safety_identifier") or params.get("user")
    given = params.get("metadata") or {}
    if given.keys() - {"user_id"}:
        _refuse(request, "metadata but user_id", "leave the other fields out")
    user = user or given.get("user_id") or request.metadata.get("user_id")
    return {"user_id": user} if user else None


def _service_tier(params: Mapping[str, Any], request: Request) -> str | None:
    tier = params.get("service_tier")
    if tier is not None and tier not in _SERVICE_TIERS:
        _refuse(request, f"service_tier {tier!r}", "use auto or default")
    return _SERVICE_TIERS.get(tier or "")


def _refuse(request: Request, what: str, advice: str) -> None:
    if not request.drop_params:
        raise UnsupportedParamsError(f"{DIALECT} has no {what}: {advice}, or pass drop_params=True")
