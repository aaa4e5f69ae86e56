"""Requests of OpenAI's Responses API.

https://platform.openai.com/docs/api-reference/responses. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.types import HttpRequest, Request
from ritellm.wire import models
from ritellm.wire.openai_responses.content import encode_messages
from ritellm.wire.request import (
    address,
    in_path,
    is_router,
    json_schema,
    max_tokens,
    post,
    present,
    supported_params,
)

PATH = "/responses"

_SAME_NAME = frozenset(
    "metadata parallel_tool_calls prompt_cache_key safety_identifier service_tier store"
    " temperature top_logprobs top_p user".split()
)
PARAMS = _SAME_NAME | frozenset(
    "logprobs max_completion_tokens max_tokens reasoning_effort response_format stream_options"
    " tool_choice tools verbosity web_search_options".split()
)


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    params = supported_params(request, PARAMS, "OpenAI's Responses API", is_router(endpoint))
    stored = request.extra_body.get("store", params.get("store")) is not False
    instructions, items = encode_messages(request.messages, stored)
    body = present(
        model=request.model,
        instructions=instructions,
        input=items,
        **{name: value for name, value in params.items() if name in _SAME_NAME},
        max_output_tokens=max_tokens(params),
        reasoning=_reasoning(params.get("reasoning_effort"), request.model),
        text=_text(params),
        tools=_tools(params),
        tool_choice=_tool_choice(params.get("tool_choice")),
        include=_include(params, stored),
        stream=True if request.stream else None,
        stream_options=_stream_options(params, endpoint) if request.stream else None,
    )
    return post(address(endpoint.base_url, PATH), body, request, endpoint, "text/event-stream")


def resume_request(request: Request, endpoint: Endpoint, id: str, after: int) -> HttpRequest:
    """Return the GET that resumes background response `id` after event `after`."""
    sent = build_request(request, endpoint)
    return resumed(sent, id, after)


def cancel_request(request: Request, endpoint: Endpoint, id: str) -> HttpRequest:
    """Return the POST that cancels background response `id`."""
    return cancelled(build_request(request, endpoint), id)


def cancelled(sent: HttpRequest, id: str) -> HttpRequest:
    """Return the POST that cancels response `id` to the request `sent`."""
    base, mark, query = sent.url.partition("?")
    return HttpRequest(f"{base}/{in_path(id)}/cancel{mark}{query}", _bare(sent), b"")


def _bare(sent: HttpRequest) -> dict[str, str]:
    """Return the headers of `sent`, for a request without a body."""
    return {name: value for name, value in sent.headers.items() if name != "content-type"}


def resumed(sent: HttpRequest, id: str, after: int) -> HttpRequest:
    """Return the GET that resumes response `id` to the request `sent`, after event `after`."""
    base, _, query = sent.url.partition("?")
    query = "&".join(part for part in (query, f"stream=true&starting_after={after}") if part)
    return HttpRequest(f"{base}/{in_path(id)}?{query}", _bare(sent), b"", "GET")


def _reasoning(effort: Any, model: str) -> Any:
    """Return the `reasoning` object; a caller may pass one instead of a word, for a summary."""
    return {"effort": models.effort(model, effort)} if isinstance(effort, str) else effort


def _text(params: Mapping[str, Any]) -> dict[str, Any] | None:
    schema = json_schema(params)
    shape = {"type": "json_schema", **schema} if schema is not None else None
    text = present(format=shape or params.get("response_format"), verbosity=params.get("verbosity"))
    return text or None


def _include(params: Mapping[str, Any], stored: bool) -> list[str] | None:
    """Return what to include in the response, beyond the default.

    Reasoning that OpenAI does not store must travel with the conversation, encrypted.
    """
    include = [] if stored else ["reasoning.encrypted_content"]
    if params.get("logprobs"):
        include.append("message.output_text.logprobs")
    return include or None


def _stream_options(params: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any] | None:
    """Return the options to send: the provider's at its own address, then the caller's."""
    provider = endpoint.provider
    own = provider.quirks.stream_options if endpoint.base_url == provider.base_url else None
    options = {**(own or {}), **(params.get("stream_options") or {})}
    options.pop("include_usage", None)  # the API sends usage in any case
    return options or None


def _tools(params: Mapping[str, Any]) -> list[Any] | None:
    tools = [_tool(tool) for tool in params.get("tools") or ()]
    search = params.get("web_search_options")
    if search is not None:
        where = search.get("user_location") or {}
        place = {"type": "approximate", **(where.get("approximate") or {})} if where else None
        size = search.get("search_context_size")
        found = present(type="web_search", search_context_size=size, user_location=place)
        tools.append(found)
    return tools or None


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool in the flat shape; the provider's own tools (web_search) pass unchanged."""
    kind = tool.get("type")
    if kind == "function" and "function" in tool:
        function = tool["function"]
        # Functions are strict by default here, but not in chat.
        return {"type": "function", "parameters": None, "strict": False, **function}
    if kind == "custom" and "custom" in tool:
        custom = dict(tool["custom"])
        shape = custom.get("format") or {}
        if "grammar" in shape:
            custom["format"] = {"type": "grammar", **shape["grammar"]}
        return {"type": "custom", **custom}
    return tool


def _tool_choice(choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    kind = choice.get("type")
    inner = choice.get(kind or "")
    if not isinstance(inner, Mapping):
        return choice
    if kind == "allowed_tools":
        return {"type": kind, **inner, "tools": [_tool_choice(t) for t in inner.get("tools", ())]}
    return {"type": kind, **inner}
