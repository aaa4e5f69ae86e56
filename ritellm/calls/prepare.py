"""Turns the parameters of `completion()` into a plan, or raises before anything is sent.

Problem: parameters have several origins (the caller, a client's defaults, the environment, the
provider's row) and go to several places (address, headers, body, retry policy).

Idea: `_target` finds the endpoint, `_request` the body, and `arguments` checks the values. Each
fallback becomes a draft of its own.

Invariants:
- A mistake in a parameter raises before anything is sent, and the error names the parameter.
- A key or an address never reaches a fallback at another provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args

from ritellm.calls import arguments
from ritellm.calls.blame import undraftable
from ritellm.calls.mock import mocked
from ritellm.calls.params import CALLER_ONLY, CHAT_PARAMS, COMMON_PARAMS, IGNORED
from ritellm.calls.plan import Draft, OnInterrupt, OnLength, Plan
from ritellm.calls.response_format import response_format
from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError, RitellmError, UnsupportedParamsError
from ritellm.masking import basic_auth, header_secrets
from ritellm.providers import OPTIONS, resolve, route, split_model
from ritellm.recordings import replay
from ritellm.suggest import nearest
from ritellm.types import Request

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams


# Parameters that change the body but are not fields of it.
_BODY_EDITS = frozenset({"additional_params", "answer", "drop_params", "extra_body", "stream"})
# `draft` has removed `fallbacks` by then; within a fallback they are an unknown parameter.
_NOT_IN_BODY = (CALLER_ONLY - {"fallbacks"}) | IGNORED | _BODY_EDITS
# litellm's parameters that this library replaces, and what to pass instead.
_INSTEAD = {
    "context_window_fallback_dict": "pass fallbacks=[the larger model]",
    "stream_timeout": "pass timeout=Timeouts(inter_chunk=..., first_chunk=...)",
    "mock_timeout": "pass mock_response=ritellm.Timeout",
    "mock_tool_calls": "pass mock_response=[chunks]",
}


def plan(
    model: str,
    messages: Any,
    environ: Mapping[str, str],
    *,
    stream: bool = False,
    **params: Unpack[CompletionParams],
) -> Plan:
    """Return the plan for one completion; raises InvalidRequestError and says what to change.

    `params` are those of `draft`.
    """
    return draft(model, environ, stream=stream, **params).plan(messages)


def draft(
    model: str,
    environ: Mapping[str, str],
    *,
    stream: bool = False,
    **params: Unpack[CompletionParams],
) -> Draft:
    """Return all of a plan but its messages; raises InvalidRequestError and says what to change.

    `params` are OpenAI's chat parameters by their names, options of the provider such as
    `api_version`, `vertex_project` or `aws_region_name`, and the parameters of this library;
    `ritellm.calls.params` lists them all.

    Args:
        fallbacks: the models to send the request to when this one is exhausted: names, or dicts
            with a `model` and parameters of its own.
        local_files: whether to read and send the images and files that messages name by a path.
        metadata: goes into logs and spans. As with OpenAI, it is sent with `store=True` only.
        record: the path of a file to record the exchange to, without keys. The model `replay/PATH`
            replays it, at its own pace with `replay_timing`.
        buffer_msec, buffer_chunks: how to merge neighbouring chunks of a stream.
    """
    given: dict[str, Any] = {**params, "stream": stream}
    try:
        return _with_fallbacks(model, environ, given)
    except RitellmError:
        raise
    except Exception as error:  # of a value that raises when it is read, an array for example
        raise undraftable(partial(_with_fallbacks, environ=environ), model, given, error) from error


def _with_fallbacks(model: str, environ: Mapping[str, str], given: Mapping[str, Any]) -> Draft:
    fallbacks = given.get("fallbacks")
    own = {name: value for name, value in given.items() if name != "fallbacks"}
    own["stream"] = bool(own.get("stream"))
    first = _draft(model, environ, own)
    if not fallbacks:
        return first
    legs = _legs(model, fallbacks, own)
    rest = [_draft(name, environ, each) for name, each in legs]
    return replace(first, fallbacks=tuple(rest))


def _draft(model: str, environ: Mapping[str, str], given: Mapping[str, Any]) -> Draft:
    """Return the draft for one model, without its fallbacks."""
    name, endpoint, on_interrupt = _target(model, environ, given)
    wanted = None
    if given.get("answer") is not None:
        from ritellm.answers.wanted import wanted as wanted_of

        wanted = wanted_of(given["answer"], endpoint, endpoint.wire, name, given)
        given = {**given, **wanted.params}
    request = _request(name, endpoint, given)
    if on_interrupt not in get_args(OnInterrupt):
        words = "'raise', 'continue' or 'restart'"
        raise InvalidRequestError(f"on_interrupt must be {words}, got {on_interrupt!r}")
    on_length = given.get("on_length", "stop")
    if on_length not in get_args(OnLength):
        raise InvalidRequestError(f"on_length must be 'stop' or 'continue', got {on_length!r}")
    endpoint = replace(
        arguments.with_clean_key(endpoint),
        secrets=(*endpoint.secrets, *header_secrets(request.extra_headers)),
    )
    blank = Plan(
        request,
        endpoint,
        arguments.timeouts(_first(given, "timeout", "request_timeout")),
        arguments.policy(given.get("retry"), _first(given, "num_retries", "max_retries")),
        cast(OnInterrupt, on_interrupt),
        cast(OnLength, on_length),
        record=arguments.recording(given.get("record")),
        wanted=wanted,
    )
    return Draft(blank, bool(given.get("local_files")))


def _target(
    model: str, environ: Mapping[str, str], given: Mapping[str, Any]
) -> tuple[str, Endpoint, str]:
    """Return the model's own name, its endpoint, and what an interruption leads to."""
    on_interrupt = given.get("on_interrupt", "raise")
    if isinstance(model, str) and model.startswith(replay.PREFIX):
        name, endpoint, recorded = replay.load(model, given.get("replay_timing", False))
        return name, endpoint, recorded if on_interrupt == "raise" else on_interrupt
    named = _named(model, given.get("custom_llm_provider"), given.get("deployment_id"))
    provider, name = split_model(named)
    wire, name = route(provider, name)
    mock = given.get("mock_response")
    if mock is not None:
        endpoint = mocked(provider, name, mock, bool(given.get("stream")), given.get("n"))
    else:
        address = given.get("base_url") or given.get("api_base")
        endpoint = resolve(
            provider,
            environ,
            wire=wire,
            base_url=arguments.address(address),
            api_key=given.get("api_key"),
            options={option: value for option, value in given.items() if option in OPTIONS},
        )
    return name, endpoint, on_interrupt


def _request(name: str, endpoint: Endpoint, given: Mapping[str, Any]) -> Request:
    """Return the request without its messages."""
    metadata = arguments.mapping("metadata", given.get("metadata"))
    sent = {**given, "metadata": metadata if metadata and given.get("store") else None}
    drop_params = bool(given.get("drop_params"))
    return Request(
        model=name,
        messages=(),
        params=_params(sent, drop_params),
        stream=bool(given.get("stream")),
        extra_body={
            **_json_object(given.get("additional_params")),
            **arguments.mapping("extra_body", given.get("extra_body")),
        },
        extra_headers={
            **_headers(endpoint),
            **arguments.headers("headers", given.get("headers")),
            **arguments.headers("extra_headers", given.get("extra_headers")),
        },
        drop_params=drop_params,
        buffer=arguments.buffer(given.get("buffer_msec"), given.get("buffer_chunks")),
        metadata=metadata,
    )


def _first(given: Mapping[str, Any], name: str, alias: str) -> Any:
    """Return the parameter `name`, or `alias` where `name` is not set."""
    value = given.get(name)
    return value if value is not None else given.get(alias)


# What belongs to one provider and must not reach another: keys, addresses, its own options.
_ONE_PROVIDERS = OPTIONS | frozenset(
    "additional_params api_base api_key base_url custom_llm_provider deployment_id extra_body"
    " extra_headers headers".split()
)


def _legs(model: str, fallbacks: Any, given: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the model and the parameters of each fallback.

    A model of the same provider inherits all parameters. A model of another provider inherits
    neither keys nor addresses.
    """
    if not isinstance(fallbacks, (list, tuple)):
        raise InvalidRequestError(
            f"fallbacks must be a list of models, got {type(fallbacks).__name__}"
        )
    legs = []
    for fallback in fallbacks:
        own = dict(fallback) if isinstance(fallback, Mapping) else {"model": fallback}
        name = own.pop("model", model)
        inherited = given if _same_provider(name, model, given) else _portable(given)
        legs.append((name, {**inherited, **own}))
    return legs


def _same_provider(name: str, model: str, given: Mapping[str, Any]) -> bool:
    owner = _named(model, given.get("custom_llm_provider"), given.get("deployment_id"))
    if any(isinstance(each, str) and each.startswith(replay.PREFIX) for each in (name, owner)):
        return False
    return split_model(name)[0] is split_model(owner)[0]


def _portable(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in _ONE_PROVIDERS}


def _named(model: str, provider: str | None, deployment: str | None) -> str:
    """Return the model as "provider/model", also from litellm's two other ways to name it."""
    if deployment:
        return f"azure/{deployment}"
    if provider and isinstance(model, str) and not model.startswith(f"{provider}/"):
        return f"{provider}/{model}"
    return model


def _headers(endpoint: Endpoint) -> dict[str, str]:
    """Return the headers that hold options of the provider, or the login of its address.

    A key counts before a login: both would be the same header.
    """
    names = endpoint.provider.headers
    own = {header: endpoint.options[o] for header, o in names.items() if o in endpoint.options}
    has_key = endpoint.key or endpoint.signer or endpoint.opener
    if endpoint.login and not has_key:
        own["authorization"] = basic_auth(endpoint.login)
    return own


def _params(params: Mapping[str, Any], drop_params: bool) -> dict[str, Any]:
    known = CHAT_PARAMS | COMMON_PARAMS
    given = {k: v for k, v in params.items() if v is not None and k not in _NOT_IN_BODY}
    for name in given.keys() & _INSTEAD.keys():
        raise UnsupportedParamsError(f"{name} is not supported: {_INSTEAD[name]}")
    unknown = sorted(given.keys() - known)
    if unknown and not drop_params:
        near = nearest(unknown[0], known | OPTIONS)
        hint = f" (did you mean {near}?)" if near else ""
        raise UnsupportedParamsError(
            f"unknown parameter {unknown[0]!r}{hint}: put a field of this provider alone into"
            " extra_body, or pass drop_params=True"
        )
    if "response_format" in given:
        given["response_format"] = response_format(given["response_format"])
    return {name: value for name, value in given.items() if name in known}


def _json_object(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    import orjson

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"additional_params is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("additional_params must be a JSON object, like '{\"top_k\": 5}'")
    return value
