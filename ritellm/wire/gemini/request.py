"""Requests of Gemini's generateContent: https://ai.google.dev/api/generate-content.

`body_of` also serves `vertex_gemini`, which sends the same body to another address.
No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.types import HttpRequest, Request
from ritellm.wire.gemini.content import encode_messages
from ritellm.wire.gemini.thinking import thinking_config, thinks_in_levels
from ritellm.wire.google import address
from ritellm.wire.request import (
    json_schema,
    max_tokens,
    post,
    present,
    refuse,
    stop_list,
    supported_params,
)

DIALECT = "Gemini"

PARAMS = frozenset(
    "audio frequency_penalty logprobs max_completion_tokens max_tokens modalities n"
    " presence_penalty reasoning_effort response_format seed service_tier stop temperature"
    " thinking tool_choice tools top_k top_logprobs top_p web_search_options".split()
)

_SERVICE_TIERS = {"default": "standard", "standard": "standard", "flex": "flex"}
_SERVICE_TIERS["priority"] = "priority"
STREAM = "text/event-stream"


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that sends `request` to `endpoint`."""
    named = request.model.startswith(("models/", "tunedModels/"))
    path = request.model if named else f"models/{request.model}"
    url = address(endpoint.base_url, path, verb(request))
    headers = present(**{"x-goog-api-key": endpoint.key})
    headers.update((name.lower(), value) for name, value in request.extra_headers.items())
    request, keyless = replace(request, extra_headers=headers), replace(endpoint, key=None)
    return post(url, body_of(request), request, keyless, STREAM)


def verb(request: Request) -> str:
    """Return the name of the API method for `request`."""
    return "streamGenerateContent" if request.stream else "generateContent"


def body_of(request: Request) -> dict[str, Any]:
    """Return the body of `request`; raises UnsupportedParamsError."""
    params = supported_params(request, PARAMS, DIALECT)
    if not thinks_in_levels(request.model):
        params = _apart(params, request)
    system, contents = encode_messages(request.messages, signs=thinks_in_levels(request.model))
    return present(
        systemInstruction={"parts": system} if system else None,
        contents=contents,
        tools=_tools(params, request) or None,
        toolConfig=_tool_config(params),
        generationConfig=_generation_config(params, request) or None,
        serviceTier=_service_tier(params, request),
    )


def _apart(params: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """Return the parameters that a model before Gemini 3 takes together.

    https://ai.google.dev/gemini-api/docs/structured-output: it refuses JSON beside tools, and a
    search beside functions. With `drop_params` functions count first.
    """
    kept = dict(params)
    if kept.get("tools") and "web_search_options" in kept:
        refuse(request, DIALECT, f"web search beside tools for {request.model}")
        del kept["web_search_options"]
    tools = kept.get("tools") or "web_search_options" in kept
    if tools and (kept.get("response_format") or {}).get("type") in ("json_schema", "json_object"):
        refuse(request, DIALECT, f"JSON as response_format beside tools for {request.model}")
        del kept["response_format"]
    return kept


def _generation_config(params: Mapping[str, Any], request: Request) -> dict[str, Any]:
    return present(
        temperature=params.get("temperature"),
        topP=params.get("top_p"),
        topK=params.get("top_k"),
        maxOutputTokens=max_tokens(params),
        candidateCount=params.get("n"),
        seed=params.get("seed"),
        stopSequences=stop_list(params),
        presencePenalty=params.get("presence_penalty"),
        frequencyPenalty=params.get("frequency_penalty"),
        responseLogprobs=params.get("logprobs") or None,
        logprobs=params.get("top_logprobs") or None,
        thinkingConfig=thinking_config(params, request, DIALECT),
        responseModalities=_modalities(params),
        speechConfig=_speech_config(params),
        **_response_format(params),
    )


def _response_format(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = json_schema(params)
    if wanted is not None:
        schema = present(responseJsonSchema=wanted.get("schema"))
        return {"responseMimeType": "application/json", **schema}
    if (params.get("response_format") or {}).get("type") == "json_object":
        return {"responseMimeType": "application/json"}
    return {}


def _modalities(params: Mapping[str, Any]) -> list[str] | None:
    wanted = params.get("modalities")
    return [str(kind).upper() for kind in wanted] if wanted else None


def _speech_config(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the voice of OpenAI's `audio`; Gemini chooses the format itself."""
    voice = (params.get("audio") or {}).get("voice")
    return {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}} if voice else None


def _tools(params: Mapping[str, Any], request: Request) -> list[dict[str, Any]]:
    functions: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] = []
    for tool in params.get("tools") or ():
        if "function" in tool:
            functions.append(_declaration(tool["function"]))
        elif "type" in tool:
            raise InvalidRequestError(f"{DIALECT} has no tools of type {tool['type']!r}")
        else:
            tools.append(dict(tool))  # one of Gemini's own: {"googleSearch": {}}
    search = params.get("web_search_options")
    if search is not None:
        if search.get("user_location") or search.get("search_context_size", "medium") != "medium":
            refuse(request, DIALECT, "options for web search", "pass {}")
        tools.append({"googleSearch": {}})
    return [{"functionDeclarations": functions}, *tools] if functions else tools


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    return present(
        name=function.get("name"),
        description=function.get("description"),
        parametersJsonSchema=function.get("parameters"),
    )


def _tool_config(params: Mapping[str, Any]) -> dict[str, Any] | None:
    wanted = params.get("tool_choice")
    if wanted is None:
        return None
    if isinstance(wanted, str):
        modes = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
        if wanted not in modes:
            raise InvalidRequestError(f"tool_choice must be auto, none or required, got {wanted!r}")
        return _calling(modes[wanted])
    if wanted.get("type") == "function":
        return _calling("ANY", [wanted])
    if wanted.get("type") == "allowed_tools":
        allowed = wanted.get("allowed_tools") or {}
        mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
        return _calling(mode, allowed.get("tools") or ())
    return dict(wanted)  # Gemini's own shape


def _calling(mode: str, tools: Any = ()) -> dict[str, Any]:
    names = [(tool.get("function") or {}).get("name") for tool in tools]
    return {"functionCallingConfig": present(mode=mode, allowedFunctionNames=names or None)}


def _service_tier(params: Mapping[str, Any], request: Request) -> str | None:
    tier = params.get("service_tier")
    if tier not in (None, "auto", *_SERVICE_TIERS):
        refuse(
            request, DIALECT, f"service_tier {tier!r}", f"use one of {', '.join(_SERVICE_TIERS)}"
        )
    return _SERVICE_TIERS.get(tier or "")
