"""From the arguments of `completion()` to a plan; what is wrong is said before sending."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm import arguments
from ritellm.attachments import attach
from ritellm.call import OnInterrupt, Plan
from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.providers import OPTIONS, resolve, route, split_model
from ritellm.retry import RetryPolicy
from ritellm.types import Endpoint, Request, Timeouts

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
    "base_model caching input_cost_per_token litellm_call_id logger_fn model_info"
    " output_cost_per_token verbose".split()
)
# What decides where a request goes, who pays, and what is read for it. Whoever takes arguments from
# data (a row of a file) must refuse these: a row could have our key sent to an address of its own.
CALLER_ONLY = OPTIONS | frozenset(
    "api_base api_key base_url extra_headers local_files max_retries num_retries retry"
    " timeout".split()
)


def plan(
    model: str,
    messages: Any,
    environ: Mapping[str, str],
    *,
    stream: bool = False,
    base_url: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    custom_llm_provider: str | None = None,
    deployment_id: str | None = None,
    timeout: Timeouts | float | None = None,
    num_retries: int | None = None,
    max_retries: int | None = None,
    retry: RetryPolicy | None = None,
    on_interrupt: OnInterrupt = "raise",
    drop_params: bool = False,
    local_files: bool = False,
    extra_body: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    additional_params: str | None = None,
    **params: Any,
) -> Plan:
    """Return the plan for one completion; raises InvalidRequestError and says what to change.

    `params` are OpenAI's chat parameters by their names, and options of the provider such as
    `api_version`, `vertex_project` or `aws_region_name`. With `local_files`, images and files that
    messages name by a path are read and sent.
    """
    provider, name = split_model(_named(model, custom_llm_provider, deployment_id))
    wire, name = route(provider, name)
    options = {name: value for name, value in params.items() if name in OPTIONS}
    request = Request(
        model=name,
        messages=attach(_messages(messages), local_files),
        params=_params(params, drop_params),
        stream=bool(stream),
        extra_body={**_json_object(additional_params), **arguments.body(extra_body)},
        drop_params=drop_params,
    )
    endpoint = resolve(
        provider,
        environ,
        wire=wire,
        base_url=arguments.address(base_url or api_base),
        api_key=api_key,
        options=options,
    )
    headers = {**_headers(endpoint), **arguments.headers(extra_headers)}
    if on_interrupt not in ("raise", "restart"):
        raise InvalidRequestError(f"on_interrupt is 'raise' or 'restart', not {on_interrupt!r}")
    retries = num_retries if num_retries is not None else max_retries
    return Plan(
        replace(request, extra_headers=headers),
        arguments.with_clean_key(endpoint),
        arguments.timeouts(timeout),
        arguments.policy(retry, retries),
        on_interrupt,
    )


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


def _messages(messages: Any) -> list[Mapping[str, Any]]:
    if not isinstance(messages, (list, tuple)):
        raise InvalidRequestError(
            f"messages must be a list of objects with a role, not {type(messages).__name__}"
        )
    if not messages:
        raise InvalidRequestError("messages is empty: there is nothing to ask")
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidRequestError(
                f"messages[{position}] must be an object with a role, not {message!r:.80}"
            )
    return list(messages)


def _params(params: Mapping[str, Any], drop_params: bool) -> dict[str, Any]:
    known = CHAT_PARAMS | COMMON_PARAMS
    left = OPTIONS | IGNORED
    given = {k: v for k, v in params.items() if v is not None and k not in left}
    unknown = sorted(given.keys() - known)
    if unknown and not drop_params:
        near = difflib.get_close_matches(unknown[0], known | OPTIONS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UnsupportedParamsError(
            f"unknown parameter {unknown[0]!r}{hint}: put what only this provider knows into"
            " extra_body, or pass drop_params=True"
        )
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
