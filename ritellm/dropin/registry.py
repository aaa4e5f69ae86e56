"""What a program says of a model itself, in litellm's shape: `register_model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.prices.cost import full_name
from ritellm.prices.price import Price

Info = Mapping[str, Any]

MILLION = 1_000_000
# litellm's names of the amounts of a price. litellm has them for one token.
AMOUNTS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}

_models: dict[str, dict[str, Any]] = {}  # by "provider/model"


def register_model(model_cost: Mapping[str, Info], **_: Any) -> Mapping[str, Info]:
    """Note prices, limits and features of models for this process, and return `model_cost`.

    A key is a model's name as `completion` takes it, or a name to which `litellm_provider` is the
    prefix. `completion_cost`, `get_model_info` and `supports_...` use what is noted; the budgets of
    a job do not. Raises InvalidRequestError for an address of a list, and for a wrong amount.
    """
    if not isinstance(model_cost, Mapping):
        raise InvalidRequestError(
            f"register_model needs a dict of models, got {type(model_cost).__name__};"
            " read a file or an address yourself, and pass its content"
        )
    for model, info in model_cost.items():
        _check(model, info)
    for model, info in model_cost.items():
        name = _name(model, info)
        _models[name] = {**_models.get(name, {}), **info}
    return model_cost


def registered(model: str) -> dict[str, Any]:
    """Return what is noted of `model`, or an empty dict."""
    return _models.get(model) or _models.get(full_name(model)) or {}


def registered_price(model: str) -> Price | None:
    """Return the price that is noted of `model`, or None."""
    info = registered(model)
    if info.get("input_cost_per_token") is None or info.get("output_cost_per_token") is None:
        return None
    amounts = {ours: info[name] * MILLION for name, ours in AMOUNTS.items() if info.get(name)}
    return Price(**{"input": 0, "output": 0, **amounts})


def all_registered() -> Mapping[str, dict[str, Any]]:
    """Return all that is noted, by "provider/model"."""
    return _models


def _name(model: str, info: Info) -> str:
    """Return "provider/model" if the provider is known, or the key as it is."""
    name = full_name(model)
    provider = info.get("litellm_provider")
    return full_name(f"{provider}/{model}") if provider and "/" not in name else name


def _check(model: str, info: Any) -> None:
    if not isinstance(info, Mapping):
        raise InvalidRequestError(f"register_model: {model!r} must be an object, got {info!r:.80}")
    for name in AMOUNTS:
        amount = info.get(name)
        if amount is not None and not (_is_number(amount) and amount >= 0):
            raise InvalidRequestError(
                f"register_model: {name} of {model!r} must be USD from 0, got {amount!r:.80}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
