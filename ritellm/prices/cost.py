"""The cost of a completion in USD, from its usage and a table of prices.

Prices change without notice, and yours may differ (discounts, regions). Check them before money
depends on them, and correct them with a file of your own (`load_prices`). The cost covers tokens
only, not searches, tools, storage or images sold by the piece.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ritellm.chunks.usage import counts_in
from ritellm.errors import InvalidRequestError
from ritellm.prices.price import Price
from ritellm.prices.table import PRICES
from ritellm.providers import route, split_model

Usage = Mapping[str, Any]

_FREE = Price(0, 0)  # a model on the caller's own machine

# A dated snapshot costs as much as its model, unless the table has a row for it.
_SNAPSHOT = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
_PER = 1_000_000
_AMOUNTS = ("input", "output", "cached_input", "cache_write", "cache_write_1h")
# The providers' names for the tier that has the list price.
_AS_LISTED = frozenset(
    {"", "default", "standard", "on_demand", "unspecified", "traffic_type_unspecified"}
)


def price_of(model: str, prices: Mapping[str, Price] = PRICES) -> Price | None:
    """Return the price of `model` ("provider/model"), or None if it is unknown."""
    if model in prices:
        return prices[model]
    name = full_name(model)
    if name.startswith("local/"):
        return _FREE
    return prices.get(name) or prices.get(_SNAPSHOT.sub("", name))


def cost(
    model: str,
    usage: Usage | None,
    prices: Mapping[str, Price] = PRICES,
    service_tier: str | None = None,
) -> float | None:
    """Return the cost of `usage` in USD, or None if it is unknown: never a wrong 0.

    `usage` has OpenAI's shape, as in our completions, and `service_tier` is the tier that a
    completion names beside it. Without one, the tier in `usage` counts, where Anthropic and Google
    put it. The cost is unknown for an unknown model or tier, for tokens that were not counted, and
    for audio, which has prices of its own.
    """
    price, usage = price_of(model, prices), counts_in(usage)
    if price is None:
        return None
    if not price.input and not price.output and price == _FREE:  # a comparison is slow
        return 0.0
    if not usage:
        return None
    return _priced(usage, in_tier(price, tier_in(usage, service_tier)))


def reserve(
    model: str,
    usage: Usage,
    prices: Mapping[str, Price] = PRICES,
    service_tier: str | None = None,
) -> float | None:
    """Return the most that `usage` may cost in USD for a request with `service_tier`.

    For "auto", and for a tier of unknown price, the most expensive known tier counts. None as in
    `cost`.
    """
    price = price_of(model, prices)
    if price is None:
        return None
    wanted = in_tier(price, _tier_name(service_tier))
    known = [wanted] if wanted else [price, *(in_tier(price, tier) for tier in price.tiers)]
    sums = [usd for each in known if (usd := _priced(usage, each)) is not None]
    return max(sums, default=None)


def _priced(usage: Usage, price: Price | None) -> float | None:
    """Return the cost of `usage` at `price`, or None if it is unknown."""
    prompt, output = usage.get("prompt_tokens"), _billed_output(usage)
    if prompt is None or output is None or _has_audio(usage):
        return None
    if price is not None and price.long_above is not None and prompt > price.long_above:
        price = price.long
    if price is None:
        return None
    details = usage.get("prompt_tokens_details") or {}
    cached, written = details.get("cached_tokens") or 0, _written(details)
    written_1h = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    total = (
        max(0, prompt - cached - written) * price.input
        + cached * _or_else(price.cached_input, price.input)
        + (written - written_1h) * _or_else(price.cache_write, price.input)
        + written_1h * _or_else(price.cache_write_1h, price.input)
        + output * price.output
    )
    return float(total / _PER)


def _written(details: Usage) -> int:
    """Return the tokens written to the cache, under OpenAI's name or ours for Anthropic's."""
    written: int = details.get("cache_write_tokens") or details.get("cache_creation_tokens") or 0
    return written


def tier_in(usage: Usage, beside: str | None = None) -> str | None:
    """Return the service tier of a response, or None for the tier at list price.

    `beside` is the tier at the top level of the completion.
    """
    if usage.get("speed") == "fast":  # Anthropic's fast mode, which has a price of its own
        return "fast"
    get = usage.get
    return _tier_name(beside or get("service_tier") or get("serviceTier") or get("trafficType"))


def _tier_name(named: Any) -> str | None:
    """Return a tier under OpenAI's name; an unknown tier passes unchanged."""
    # A value that is not text names a tier of unknown price.
    name = named if isinstance(named, str) else type(named).__name__ if named else ""
    name = name.lower().removeprefix("service_tier_")
    return None if name in _AS_LISTED else name.removeprefix("on_demand_")


def in_tier(price: Price, tier: str | None) -> Price | None:
    """Return the price in `tier`, or None if it is unknown.

    A response of tier "auto" does not say which tier the provider chose, so its price is known
    only where the model has no other tiers.
    """
    if tier is None or (tier == "auto" and not price.tiers):
        return price
    found = price.tiers.get(tier)
    return found if found is None or isinstance(found, Price) else _times(price, found)


def _times(price: Price, factor: float) -> Price:
    amounts = {name: getattr(price, name) for name in _AMOUNTS}
    scaled: dict[str, Any] = {
        name: None if each is None else each * factor for name, each in amounts.items()
    }
    return replace(price, **scaled, long=price.long and _times(price.long, factor), tiers={})


def full_name(model: str) -> str:
    """Return "provider/model" for any name of a model that `completion` takes."""
    try:
        provider, name = split_model(model)
    except InvalidRequestError:
        return model
    return f"{provider.name}/{route(provider, name)[1]}"


def load_prices(path: str | os.PathLike[str]) -> dict[str, Price]:
    """Return the table of prices, corrected by the JSON file at `path`.

    {"openai/gpt-4o-mini": {"input": 0.15, "cached_input": 0.075, "output": 0.6}, ...}: the names
    are those of `Price`. `"tiers": {"flex": 0.5, "priority": {"input": 0.25, "output": 1}}` adds
    service tiers, each as a factor or as a price; a model in the file has no other tiers.
    Raises InvalidRequestError that names the wrong entry.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"cannot read prices from {path}: {error}") from None
    return parse_prices(text, str(path))


def parse_prices(text: str | bytes, path: str) -> dict[str, Price]:
    """Return the table of prices, corrected by `text`, the content of the file at `path`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"cannot read prices from {path}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError(
            f"{path}: must be a JSON object of models, got {type(found).__name__}"
        )
    return {**PRICES, **{model: _price(path, model, entry) for model, entry in found.items()}}


def _price(path: Any, model: str, entry: Any) -> Price:
    known = {field.name for field in fields(Price)}
    if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys() <= known:
        raise _wrong(path, model, f"needs input and output, and may have only {sorted(known)}")
    amounts = {name: value for name, value in entry.items() if name not in ("long", "tiers")}
    if not all(map(_is_amount, amounts.values())) or ("long" in entry) != ("long_above" in entry):
        raise _wrong(path, model, "must have numbers from 0, and long together with long_above")
    long = _price(path, model, entry["long"]) if "long" in entry else None
    return Price(**amounts, long=long, tiers=_tiers(path, model, entry.get("tiers", {})))


def _tiers(path: Any, model: str, entry: Any) -> dict[str, Price | float]:
    if not isinstance(entry, dict):
        raise _wrong(path, model, "must have tiers as an object by name")
    return {
        name: tier if _is_amount(tier) else _price(path, f"{model} in tier {name}", tier)
        for name, tier in entry.items()
    }


def _wrong(path: Any, model: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(f"{path}: the price of {model!r} (USD per million tokens) {rule}")


# Per million tokens; an infinite price would make every cost unknown.
_MOST_USD = 1e12


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_USD


def _billed_output(usage: Usage) -> int | None:
    """Return the tokens billed as output. xAI counts reasoning beside the completion."""
    output: int | None = usage.get("completion_tokens")
    details = usage.get("completion_tokens_details") or {}
    reasoning: int = details.get("reasoning_tokens") or 0
    total, prompt = usage.get("total_tokens"), usage.get("prompt_tokens")
    if output is None or total is None or prompt is None:
        return output
    return output + reasoning if total == prompt + output + reasoning else output


def _has_audio(usage: Usage) -> bool:
    for side in (usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")):
        if side and side.get("audio_tokens"):
            return True
    modes = usage.get("promptTokensDetails")  # Gemini's
    if not modes:
        return False
    return any(
        mode.get("modality") == "AUDIO" and mode.get("tokenCount")
        for mode in modes
        if isinstance(mode, Mapping)
    )


def _or_else(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price
