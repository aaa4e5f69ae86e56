"""Build requests: the parts that the dialects share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.types import HttpRequest, Request
from ritellm.wire import models
from ritellm.wire.content import check_params

# OpenAI's defaults. A parameter with its default changes nothing, so a dialect may leave it out.
_DEFAULTS: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "service_tier": "auto",
    "store": False,
    "tool_choice": "auto",
    "top_logprobs": 0,
}


def supported_params(
    request: Request, supported: Iterable[str], dialect: str, router: bool = False
) -> dict[str, Any]:
    """Return the parameters to encode; raises UnsupportedParamsError as `check_params` does.

    What says nothing is left out: an empty list of tools, and how to choose among them. So is what
    the model refuses, with `drop_params`; a `router` decides this itself, unless it must drop.
    `stream_options` is always accepted, since these dialects send usage in any case.
    """
    known = frozenset(supported)
    given = _accepted(request, _said(request), router)
    params = {
        name: value
        for name, value in given.items()
        if name in known or (name != "stream_options" and _DEFAULTS.get(name, ...) != value)
    }
    return check_params(replace(request, params=params), known, dialect)


def is_router(endpoint: Endpoint) -> bool:
    """Return whether the server may itself leave out what a model refuses."""
    provider = endpoint.provider
    # Another address than OpenAI's is another server: a proxy, or one with models of its own. A
    # server on this machine serves any model under any name.
    elsewhere = provider.name == "openai" and endpoint.base_url != provider.base_url
    own = provider.key_optional or provider.launcher is not None
    return provider.quirks.router or elsewhere or own


# Parameters that say nothing if they are empty: servers refuse an empty list.
_LISTS = ("tools", "functions", "modalities", "stop")
# The parameters that choose among tools.
_CHOICES = {
    "tools": ("tool_choice", "parallel_tool_calls"),
    "functions": ("function_call",),
}


def _said(request: Request) -> Mapping[str, Any]:
    """Return the parameters without empty lists, and without a choice among no tools."""
    said = {name: v for name, v in request.params.items() if v or name not in _LISTS}
    for tools, choices in _CHOICES.items():
        # Other tools may come with a search, or in the body's own fields.
        if tools in said or request.extra_body.get(tools) or "web_search_options" in said:
            continue
        for name in choices:
            if tools in request.params or said.get(name) in ("auto", "none"):
                _drop_choice(said, name, tools, request)
    return said


def _drop_choice(said: dict[str, Any], name: str, tools: str, request: Request) -> None:
    if _forces(said.pop(name, None)) and not request.drop_params:
        raise InvalidRequestError(
            f"{name} must not require one of no {tools}: describe the {tools}, leave {name} out,"
            " or pass drop_params=True"
        )


def _forces(choice: Any) -> bool:
    if isinstance(choice, Mapping):
        return choice.get("type") not in ("auto", "none")
    return choice in ("required", "any")


def _accepted(request: Request, params: Mapping[str, Any], router: bool) -> Mapping[str, Any]:
    """Return `params` without those that the model refuses; raises UnsupportedParamsError."""
    refused = models.refused(request.model, params)
    if not refused:
        return params
    named = [name for name, differs in refused.items() if differs]
    if named and not request.drop_params:
        if router:
            return params
        raise UnsupportedParamsError(
            f"{request.model} does not accept {' and '.join(named)}: leave it out, pass"
            " drop_params=True, or put it into extra_body to send it in any case"
        )
    return {name: value for name, value in params.items() if name not in refused}


def refuse(request: Request, dialect: str, what: str, advice: str = "leave it out") -> None:
    """Raise UnsupportedParamsError for a value that `dialect` lacks, unless `drop_params`."""
    if not request.drop_params:
        raise UnsupportedParamsError(f"{dialect} has no {what}: {advice}, or pass drop_params=True")


def max_tokens(params: Mapping[str, Any]) -> Any:
    """Return the limit on the completion's tokens under either of its two names, or None."""
    return params.get("max_completion_tokens", params.get("max_tokens"))


def stop_list(params: Mapping[str, Any]) -> list[str] | None:
    """Return the stop sequences as a list, or None."""
    stop = params.get("stop")
    return [stop] if isinstance(stop, str) else list(stop) if stop else None


def json_schema(params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return OpenAI's `json_schema` object (name, schema, strict) if the request has one."""
    wanted = params.get("response_format") or {}
    return wanted.get("json_schema") or {} if wanted.get("type") == "json_schema" else None


def object_schema(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the schema of a tool's arguments, which are always an object, also if it says so."""
    return {"type": "object", **(schema or {"properties": {}})}


def present(**fields: Any) -> dict[str, Any]:
    """Return `fields` without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def address(base_url: str, path: str) -> str:
    """Return `base_url` followed by the part of `path` that it does not end in already."""
    base, mark, query = base_url.partition("?")
    base = base.rstrip("/")
    head = path
    while head and not base.endswith(head):
        head = head.rpartition("/")[0]
    return base + path[len(head) :] + mark + query


def in_path(name: str, safe: str = "") -> str:
    """Return a model's name or an id for the path of an address.

    Raises InvalidRequestError for a name that would lead elsewhere on the same host.
    """
    if {".", ".."} & set(name.split("/")):
        raise InvalidRequestError(
            f"the model must not contain '.' or '..' between slashes, got {name!r:.80}"
        )
    return quote(name, safe=safe)


def post(
    url: str, body: Mapping[str, Any], request: Request, endpoint: Endpoint, accept: str
) -> HttpRequest:
    """Return the POST of `body`; the caller's extra fields and headers override it."""
    headers = {
        "content-type": "application/json",
        "accept": accept if request.stream else "application/json",
    }
    if endpoint.key:
        headers["authorization"] = f"Bearer {endpoint.key}"
    headers.update((name.lower(), value) for name, value in request.extra_headers.items())
    return HttpRequest(url, headers, orjson.dumps(overlay(body, request.extra_body)))


def overlay(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` overridden by `extra`: objects are merged, other values are replaced."""
    merged = dict(body)
    for name, value in extra.items():
        mine = merged.get(name)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            value = overlay(mine, value)
        merged[name] = value
    return merged
