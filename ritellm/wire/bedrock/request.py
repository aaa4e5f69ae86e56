"""Requests of Amazon Bedrock's Converse and ConverseStream.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. The key is a
bearer token; requests under AWS credentials are signed by the endpoint's signer. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.types import HttpRequest, Request
from ritellm.wire import models
from ritellm.wire.anthropic.thinking import Thinking, settled, stops
from ritellm.wire.bedrock.content import cache_point, encode_messages, tools_called
from ritellm.wire.request import (
    in_path,
    json_schema,
    max_tokens,
    object_schema,
    post,
    present,
    refuse,
    stop_list,
    supported_params,
)

DIALECT = "Bedrock's Converse API"
STREAM = "application/vnd.amazon.eventstream"

PARAMS = frozenset(
    "max_completion_tokens max_tokens metadata reasoning_effort response_format service_tier stop"
    " temperature thinking tool_choice tools top_k top_p".split()
)
_EFFORTS = {"minimal": "low"}
_NOVA = "amazon.nova"


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    params = supported_params(request, PARAMS, DIALECT)
    thinking = None
    if "claude" in request.model:
        params, thinking = settled(params, request, DIALECT)
    elif _NOVA in request.model:
        params = _without_sampling(params, request)
    system, messages = encode_messages(request.messages)
    inference = present(
        maxTokens=_limit(params, thinking),
        temperature=params.get("temperature"),
        topP=params.get("top_p"),
        stopSequences=stops(params, request, DIALECT) if thinking else stop_list(params),
    )
    tier = params.get("service_tier")
    body = present(
        messages=messages,
        system=system or None,
        inferenceConfig=inference or None,
        toolConfig=_tool_config(params, messages, request),
        outputConfig=_output_config(params, request, thinking) or None,
        additionalModelRequestFields=_model_fields(params, request.model, thinking) or None,
        requestMetadata=params.get("metadata"),
        serviceTier={"type": tier} if tier not in (None, "auto") else None,
    )
    return post(address(endpoint.base_url, request), body, request, endpoint, STREAM)


def address(base_url: str, request: Request) -> str:
    """Return the address to send to; any model id is one segment of its path."""
    base = base_url.rstrip("/")
    if base.endswith(("/converse", "/converse-stream")):
        return base
    verb = "converse-stream" if request.stream else "converse"
    return f"{base}/model/{in_path(request.model)}/{verb}"


def _without_sampling(params: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return the parameters that Nova takes together: none for sampling beside the highest effort.

    https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
    """
    if models.effort(request.model, params.get("reasoning_effort")) != "high":
        return params
    for name in sorted(params.keys() & {"temperature", "top_k", "top_p"}):
        refuse(request, DIALECT, f"{name} beside reasoning_effort high for {request.model}")
    return {n: v for n, v in params.items() if n not in ("temperature", "top_k", "top_p")}


def _limit(params: Mapping[str, Any], thinking: Thinking | None) -> Any:
    """Return maxTokens; thoughts with a budget need a larger limit than that."""
    given = max_tokens(params)
    return thinking.limit if given is None and thinking and thinking.has_budget else given


def _tool_config(
    params: Mapping[str, Any], messages: list[dict[str, Any]], request: Request
) -> dict[str, Any] | None:
    tools = [block for tool in params.get("tools") or () for block in _tool(tool)]
    called = tools_called(messages)
    choice = params.get("tool_choice")
    if choice == "none":
        # Bedrock requires the tools if the messages have calls, and may then call them.
        if called:
            refuse(request, DIALECT, "tool_choice 'none' once tools have been called")
        else:
            tools = []
    if not tools and "toolConfig" not in request.extra_body:
        tools = [{"toolSpec": {**_CALLED, "name": name}} for name in called]
    if not tools:
        return None
    return present(tools=tools, toolChoice=_tool_choice(choice, request))


# A tool that the messages call, if the caller describes none. Bedrock has no way to forbid calls.
_CALLED = {
    "description": "A tool that was called before. It is not available now: do not call it.",
    "inputSchema": {"json": {"type": "object", "properties": {}}},
}


def _tool(tool: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a tool's specification and its cache point; a tool in Bedrock's shape is unchanged."""
    if "type" not in tool:
        return [dict(tool)]
    function = tool.get("function")
    if not function:
        raise InvalidRequestError(f"{DIALECT} has no tools of type {tool.get('type')!r}")
    schema = object_schema(function.get("parameters"))
    specification = present(
        name=function.get("name"),
        description=function.get("description") or None,
        inputSchema={"json": schema},
        strict=function.get("strict"),
    )
    cache = tool.get("cache_control") or function.get("cache_control")
    return [{"toolSpec": specification}, *cache_point(cache)]


def _tool_choice(choice: Any, request: Request) -> dict[str, Any] | None:
    if choice in (None, "none"):
        return None
    if choice in ("auto", "required"):
        return {"auto" if choice == "auto" else "any": {}}
    if isinstance(choice, Mapping) and "function" in choice:
        return {"tool": {"name": choice["function"].get("name")}}
    if isinstance(choice, Mapping) and "type" not in choice:
        return dict(choice)
    refuse(request, DIALECT, f"tool_choice {choice!r}")
    return None


def _output_config(
    params: Mapping[str, Any], request: Request, thinking: Thinking | None
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    schema = json_schema(params)
    if schema is not None:
        text = orjson.dumps(schema.get("schema") or {}).decode()
        named = present(schema=text, name=schema.get("name"), description=schema.get("description"))
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": named}}
    elif (params.get("response_format") or {}).get("type") not in (None, "text"):
        refuse(request, DIALECT, "response_format json_object (json_schema it has)")
    _, effort = _reasoning(params.get("reasoning_effort"), request.model)
    return {**config, **present(effort=thinking.effort if thinking else effort)}


def _model_fields(
    params: Mapping[str, Any], model: str, thinking: Thinking | None
) -> dict[str, Any]:
    """Return the parameters without a field in Converse that the model itself may support."""
    if thinking:
        fields = present(thinking=thinking.config)
    else:
        fields, _ = _reasoning(params.get("reasoning_effort"), model)
        fields.update(present(thinking=params.get("thinking")))
    top_k = params.get("top_k")
    if top_k is not None and _NOVA in model:
        fields["inferenceConfig"] = {"topK": top_k}
    elif top_k is not None:
        fields["top_k"] = top_k
    return fields


def _reasoning(effort: Any, model: str) -> tuple[dict[str, Any], Any]:
    """Return (the model's own fields, Converse's `effort`): the field depends on the family."""
    if effort is None:
        return {}, None
    level = models.effort(model, effort)
    if _NOVA in model:
        on = present(type="enabled", maxReasoningEffort=level)
        return {"reasoningConfig": {"type": "disabled"} if effort == "none" else on}, None
    if "gpt-oss" in model:
        return {"reasoning_effort": level}, None
    return {}, None if effort == "none" else _EFFORTS.get(level, level)
