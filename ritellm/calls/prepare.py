"""From the arguments of `completion()` to a plan; what is wrong is said before sending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from ritellm.calls import arguments
from ritellm.calls.mock import mocked
from ritellm.calls.plan import Draft, OnInterrupt, Plan
from ritellm.calls.response_format import response_format
from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.providers import OPTIONS, resolve, route, split_model
from ritellm.recordings import replay
from ritellm.retry import RetryPolicy
from ritellm.suggest import nearest
from ritellm.types import Request, Timeouts

# OpenAI's chat parameters: https://platform.openai.com/docs/api-reference/chat/create
CHAT_PARAMS = frozenset(
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens"
    " max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty"
    " prompt_cache_key reasoning_effort response_format safety_identifier seed service_tier stop"
    " store stream_options temperature tool_choice tools top_logprobs top_p user verbosity"
    " web_search_options".split()
)
# Sampling parameters that many compatible servers know and OpenAI does not.
COMMON_PARAMS = frozenset(
    "top_k min_p top_a typical_p repetition_penalty length_penalty ignore_eos min_tokens"
    " stop_token_ids thinking chat_template_kwargs".split()
)
# litellm's own bookkeeping: it changes neither what is sent nor what comes back.
IGNORED = frozenset(
    "base_model caching input_cost_per_token litellm_call_id litellm_metadata litellm_session_id"
    " litellm_trace_id logger_fn model_info output_cost_per_token verbose".split()
)
# What decides where a request goes, who pays, what is read for it, and how stubbornly it is sent.
# Code that takes arguments from data (a row of a file) must refuse these: a row could have our key
# sent to an address of its own, or to another provider.
CALLER_ONLY = OPTIONS | frozenset(
    "api_base api_key base_url buffer_chunks buffer_msec custom_llm_provider deployment_id"
    " extra_headers fallbacks headers local_files max_retries mock_response num_retries"
    " on_interrupt record replay_timing request_timeout retry timeout".split()
)


# litellm's arguments that are not taken in silence, and what to say instead.
_INSTEAD = {
    "context_window_fallback_dict": "pass fallbacks=[the larger model]",
    "stream_timeout": "pass timeout=Timeouts(inter_chunk=..., first_chunk=...)",
    "mock_timeout": "pass mock_response=ritellm.Timeout",
    "mock_tool_calls": "pass mock_response=[chunks]",
}


def plan(model: str, messages: Any, environ: Mapping[str, str], **arguments: Any) -> Plan:
    """Return the plan for one completion; raises InvalidRequestError and says what to change.

    `arguments` are those of `draft`.
    """
    return draft(model, environ, **arguments).plan(messages)


def draft(
    model: str,
    environ: Mapping[str, str],
    *,
    fallbacks: Sequence[str | Mapping[str, Any]] | None = None,
    **arguments: Any,
) -> Draft:
    """Return all of a plan but its messages; raises InvalidRequestError and says what to change.

    `fallbacks` are the models to ask when this one is exhausted: names, or dicts with a `model`
    and arguments of its own. The other `arguments` are those of `draft_one`.
    """
    first = draft_one(model, environ, **arguments)
    if not fallbacks:
        return first
    legs = _legs(model, fallbacks, arguments)
    rest = [draft_one(name, environ, **given) for name, given in legs]
    return replace(first, fallbacks=tuple(rest))


def draft_one(
    model: str,
    environ: Mapping[str, str],
    *,
    stream: bool = False,
    base_url: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    custom_llm_provider: str | None = None,
    deployment_id: str | None = None,
    timeout: Timeouts | float | None = None,
    request_timeout: Timeouts | float | None = None,
    num_retries: int | None = None,
    max_retries: int | None = None,
    retry: RetryPolicy | None = None,
    on_interrupt: str = "raise",
    drop_params: bool = False,
    local_files: bool = False,
    extra_body: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    additional_params: str | None = None,
    mock_response: Any = None,
    record: object = None,
    replay_timing: bool = False,
    buffer_msec: float | None = None,
    buffer_chunks: int | None = None,
    **params: Any,
) -> Draft:
    """Return all but the messages for asking one model; raises InvalidRequestError.

    `params` are OpenAI's chat parameters by their names, and options of the provider such as
    `api_version`, `vertex_project` or `aws_region_name`. With `local_files`, images and files that
    messages name by a path are read and sent. `metadata` is noted in the log and in spans; it is
    sent with `store=True` only, as OpenAI has it. `record` is a file that what goes over the wire
    is written to, without keys; the model `replay/PATH` plays it, in its own time with
    `replay_timing`. `buffer_msec` and `buffer_chunks` merge neighbouring chunks of a stream.
    """
    streamed = bool(stream)
    if isinstance(model, str) and model.startswith(replay.PREFIX):
        name, endpoint, recorded = replay.load(model, replay_timing)
        on_interrupt = recorded if on_interrupt == "raise" else on_interrupt
    else:
        provider, name = split_model(_named(model, custom_llm_provider, deployment_id))
        wire, name = route(provider, name)
        if mock_response is not None:
            endpoint = mocked(provider, name, mock_response, streamed, params.get("n"))
        else:
            endpoint = resolve(
                provider,
                environ,
                wire=wire,
                base_url=arguments.address(base_url or api_base),
                api_key=api_key,
                options={name: value for name, value in params.items() if name in OPTIONS},
            )
    noted = arguments.mapping("metadata", metadata)
    if noted and params.get("store"):
        params["metadata"] = noted
    request = Request(
        model=name,
        messages=(),
        params=_params(params, drop_params),
        stream=streamed,
        extra_body={
            **_json_object(additional_params),
            **arguments.mapping("extra_body", extra_body),
        },
        extra_headers={
            **_headers(endpoint),
            **arguments.headers("headers", headers),
            **arguments.headers("extra_headers", extra_headers),
        },
        drop_params=drop_params,
        buffer=arguments.buffer(buffer_msec, buffer_chunks),
        metadata=noted,
    )
    if on_interrupt not in get_args(OnInterrupt):
        words = "'raise', 'continue' or 'restart'"
        raise InvalidRequestError(f"on_interrupt is {words}, not {on_interrupt!r}")
    retries = num_retries if num_retries is not None else max_retries
    blank = Plan(
        request,
        arguments.with_clean_key(endpoint),
        arguments.timeouts(timeout if timeout is not None else request_timeout),
        arguments.policy(retry, retries),
        cast(OnInterrupt, on_interrupt),
        record=str(record) if record else None,
    )
    return Draft(blank, local_files)


# What belongs to one provider and must not reach another: keys, addresses, what only it knows.
_ONE_PROVIDERS = OPTIONS | frozenset(
    "additional_params api_base api_key base_url custom_llm_provider deployment_id extra_body"
    " extra_headers headers".split()
)


def _legs(model: str, fallbacks: Any, given: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the model and the arguments of each fallback.

    To a model of the same provider all arguments go; another one gets no key and no address that
    were not meant for it.
    """
    if not isinstance(fallbacks, (list, tuple, type(None))):
        raise InvalidRequestError(
            f"fallbacks must be a list of models, not {type(fallbacks).__name__}"
        )
    legs = []
    for fallback in fallbacks or ():
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
    """Return the model with its provider in front, from litellm's two other ways to say it."""
    if deployment:
        return f"azure/{deployment}"
    if provider and isinstance(model, str) and not model.startswith(f"{provider}/"):
        return f"{provider}/{model}"
    return model


def _headers(endpoint: Endpoint) -> dict[str, str]:
    """Return the headers that say what the provider's options are."""
    names = endpoint.provider.headers
    return {header: endpoint.options[o] for header, o in names.items() if o in endpoint.options}


def _params(params: Mapping[str, Any], drop_params: bool) -> dict[str, Any]:
    known = CHAT_PARAMS | COMMON_PARAMS
    left = OPTIONS | IGNORED
    given = {k: v for k, v in params.items() if v is not None and k not in left}
    for name in given.keys() & _INSTEAD.keys():
        raise UnsupportedParamsError(f"{name} is not known here: {_INSTEAD[name]}")
    unknown = sorted(given.keys() - known)
    if unknown and not drop_params:
        near = nearest(unknown[0], known | OPTIONS)
        hint = f" (did you mean {near}?)" if near else ""
        raise UnsupportedParamsError(
            f"unknown parameter {unknown[0]!r}{hint}: put what only this provider knows into"
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
