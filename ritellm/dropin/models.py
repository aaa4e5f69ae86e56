"""What is known of a model, in litellm's shape: `get_model_info` and `model_cost`.

The prices are those of `ritellm.prices` and those that the program registers. ritellm has no table
of context windows: `max_input_tokens` is None unless it is registered. The limits on the output are
known of Claude.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ritellm.dropin.names import prefixed
from ritellm.dropin.registry import AMOUNTS, MILLION, all_registered, registered, registered_price
from ritellm.dropin.support import FEATURES, get_supported_openai_params, supports
from ritellm.errors import InvalidRequestError
from ritellm.exceptions import ModelNotMappedError
from ritellm.prices import PRICES, Price, price_of
from ritellm.providers import split_model
from ritellm.wire.models import family


def price(model: str) -> Price:
    """Return the price of "provider/model"; raises ModelNotMappedError for an unknown one."""
    found = registered_price(model) or price_of(model)
    if found is None:
        raise _not_mapped(model)
    return found


def get_model_info(model: str, custom_llm_provider: str | None = None, **_: Any) -> dict[str, Any]:
    """Return what is known of `model`: prices per token, features, and its parameters.

    A limit is None if it is unknown and not registered. Raises ModelNotMappedError for a model
    without a price.
    """
    name = prefixed(model, custom_llm_provider)
    info = registered(name)
    if not info and price_of(name) is None:
        raise _not_mapped(name)
    return {
        "key": model,
        **_entry(name),
        **{f"supports_{feature}": supports(name, feature) for feature in FEATURES},
        "supported_openai_params": get_supported_openai_params(name),
        **info,
    }


def _entry(model: str) -> dict[str, Any]:
    """Return the part of litellm's price list that is known of `model`."""
    found = registered_price(model) or price_of(model)
    amounts = {name: _per_token(found, ours) for name, ours in AMOUNTS.items()}
    head = {"litellm_provider": _provider_of(model), "mode": "chat", "max_input_tokens": None}
    limit = family(model).max_output
    return {**head, "max_tokens": limit, "max_output_tokens": limit, **amounts}


def _per_token(found: Price | None, kind: str) -> float | None:
    amount = getattr(found, kind, None)
    return None if amount is None else amount / MILLION


def _provider_of(model: str) -> str | None:
    try:
        return split_model(model)[0].name
    except InvalidRequestError:
        return None


def _not_mapped(model: str) -> ModelNotMappedError:
    return ModelNotMappedError(
        f"the price of {model!r} is unknown: name it with register_model, as in register_model("
        f'{{"{model}": {{"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}}})'
    )


class _ModelCost(Mapping[str, dict[str, Any]]):
    """litellm's `model_cost`, read only: `register_model` adds to it.

    OpenAI's and Anthropic's models are found without their prefix too, as in litellm's list.
    """

    def __getitem__(self, model: str) -> dict[str, Any]:
        if model not in PRICES and not registered(model) and price_of(str(model)) is None:
            raise KeyError(model)
        return {**_entry(model), **registered(model)}

    def __iter__(self) -> Iterator[str]:
        return iter({**PRICES, **all_registered()})

    def __len__(self) -> int:
        return len({**PRICES, **all_registered()})


model_cost: Mapping[str, dict[str, Any]] = _ModelCost()
