"""What tokens cost: a dated table, and the arithmetic."""

from __future__ import annotations

from ritellm.prices.cost import cost, load_prices, parse_prices, price_of, reserve
from ritellm.prices.table import AS_OF, PRICES, Price

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
