"""What a completion costs, as litellm computes it: `completion_cost` and `cost_per_token`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ritellm.dropin.models import price
from ritellm.dropin.names import prefixed
from ritellm.dropin.tokens import token_counter
from ritellm.errors import InvalidRequestError, RitellmError
from ritellm.prices import Price, cost
from ritellm.types import Completion

Object = Mapping[str, Any]


def completion_cost(
    completion_response: Object | None = None,
    model: str | None = None,
    prompt: str = "",
    messages: Sequence[Any] = (),
    completion: str = "",
    *,
    custom_llm_provider: str | None = None,
    custom_cost_per_token: Object | None = None,
    service_tier: str | None = None,
    **_: Any,
) -> float:
    """Return the cost in USD of a completion, or of texts whose tokens are estimated.

    `model` overrides the completion's own. Raises ModelNotMappedError for a model without a price,
    and InvalidRequestError if the provider did not count the tokens: never a wrong 0.
    """
    if completion_response is None:
        name = _name(model, custom_llm_provider)
        usage: Object = _estimated(prompt, messages, completion)
    else:
        own = getattr(completion_response, "_origin", None) or completion_response.get("model")
        name = _name(model or own, custom_llm_provider)
        usage = completion_response.get("usage") or {}
        service_tier = service_tier or completion_response.get("service_tier")
    return _cost(name, usage, _price(name, custom_cost_per_token), service_tier)


def cost_per_token(
    model: str = "",
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    *,
    custom_llm_provider: str | None = None,
    cache_creation_input_tokens: int | None = 0,
    cache_read_input_tokens: int | None = 0,
    custom_cost_per_token: Object | None = None,
    usage_object: Object | None = None,
    service_tier: str | None = None,
    **_: Any,
) -> tuple[float, float]:
    """Return the cost in USD of the prompt and of the completion; raises as `completion_cost`.

    `prompt_tokens` includes those that are read from the cache or written to it.
    """
    details = {
        "cached_tokens": cache_read_input_tokens,
        "cache_write_tokens": cache_creation_input_tokens,
    }
    usage = usage_object or {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": details,
    }
    name = _name(model, custom_llm_provider)
    known = _price(name, custom_cost_per_token)
    whole = _cost(name, usage, known, service_tier)
    silent = {**usage, "completion_tokens": 0, "completion_tokens_details": None}
    silent.pop("total_tokens", None)
    asking = _cost(name, silent, known, service_tier)
    return asking, whole - asking


def hidden_params(completion: Completion) -> dict[str, Any]:
    """Return litellm's `_hidden_params`; `response_cost` is None if the cost is unknown."""
    provider, _, model = (completion._origin or "").partition("/")
    try:
        response_cost = completion_cost(completion)
    except RitellmError:
        response_cost = None
    return {
        "custom_llm_provider": provider or None,
        "litellm_model_name": model or None,
        "model_id": None,
        "api_base": None,
        "additional_headers": {},
        "response_cost": response_cost,
    }


def _name(model: str | None, custom_llm_provider: str | None) -> str:
    if not model:
        raise InvalidRequestError("the cost needs a model: pass model=, or a completion with one")
    return prefixed(model, custom_llm_provider)


def _price(model: str, custom: Object | None) -> Price:
    if custom is None:
        return price(model)
    amounts = custom["input_cost_per_token"], custom["output_cost_per_token"]
    return Price(*(amount * 1_000_000 for amount in amounts))


def _cost(model: str, usage: Object, known: Price, service_tier: str | None) -> float:
    spent = cost(model, usage, {model: known}, service_tier)
    if spent is None:
        raise InvalidRequestError(
            f"the cost of {model} is unknown: the usage must have prompt_tokens and"
            " completion_tokens, without audio, and a service tier with a known price"
        )
    return spent


def _estimated(prompt: str, messages: Sequence[Any], completion: str) -> Object:
    asked = token_counter(messages=messages) if messages else token_counter(text=prompt)
    return {"prompt_tokens": asked, "completion_tokens": token_counter(text=completion)}
