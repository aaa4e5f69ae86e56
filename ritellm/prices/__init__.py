"""What tokens cost: a dated table of list prices, and the arithmetic."""

from __future__ import annotations

from ritellm.prices.cost import cost, load_prices, parse_prices, price_of, reserve
from ritellm.prices.price import Price
from ritellm.prices.table import AS_OF, PRICES

__all__ = [
    "AS_OF",
    "PRICES",
    "Price",
    "cost",
    "load_prices",
    "parse_prices",
    "price_of",
    "reserve",
]
