"""What a price is: USD per million tokens of each kind, for one model. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. A kind of token that is None has no price of its own.

    `cached_input` is for tokens read from the provider's cache, `cache_write` for those written to
    it (`cache_write_1h` for those that stay for an hour). `long` applies to the whole request once
    its input has more than `long_above` tokens.

    `tiers` holds the other service tiers by name: a price, or a factor of this one.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    long_above: int | None = None
    long: Price | None = None
    tiers: Mapping[str, Price | float] = field(default_factory=dict)
