"""From the arguments of `completion()` to a plan; what is wrong is said before sending."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ritellm.call import OnInterrupt, Plan
from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.providers import resolve, split_model
from ritellm.retry import RetryPolicy
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


def plan(
    model: str,
    messages: Any,
    environ: Mapping[str, str],
    *,
    stream: bool = False,
    base_url: str | None = None,
    api_base: str | None = None,
    api_key: str | None = None,
    timeout: Timeouts | float | None = None,
    num_retries: int | None = None,
    max_retries: int | None = None,
    retry: RetryPolicy | None = None,
    on_interrupt: OnInterrupt = "raise",
    drop_params: bool = False,
    extra_body: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    additional_params: str | None = None,
    **params: Any,
) -> Plan:
    """Return the plan for one completion; raises InvalidRequestError and says what to change."""
    provider, name = split_model(model)
    request = Request(
        model=name,
        messages=_messages(messages),
        params={**provider.default_params, **_params(params, drop_params)},
        stream=bool(stream),
        extra_body={**_json_object(additional_params), **(extra_body or {})},
        extra_headers=extra_headers or {},
        drop_params=drop_params,
    )
    endpoint = resolve(provider, environ, base_url=base_url or api_base, api_key=api_key)
    policy = retry or RetryPolicy()
    retries = num_retries if num_retries is not None else max_retries
    if retries is not None:
        policy = replace(policy, num_retries=retries)
    if on_interrupt not in ("raise", "restart"):
        raise InvalidRequestError(f"on_interrupt is 'raise' or 'restart', not {on_interrupt!r}")
    return Plan(request, endpoint, Timeouts.of(timeout), policy, on_interrupt)


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
    given = {name: value for name, value in params.items() if value is not None}
    unknown = sorted(given.keys() - known)
    if unknown and not drop_params:
        near = difflib.get_close_matches(unknown[0], known, n=1)
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
