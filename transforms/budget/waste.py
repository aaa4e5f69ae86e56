"""The waste of a prompt: attempts that were billed, but whose responses were discarded. Pure.

If the provider has counted an attempt, its counts are used. Otherwise the prompt and the received
text are estimated, and the sum is marked. The budget uses the larger of the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from ritellm.chunks.usage import counts_in
from ritellm.errors import RitellmError
from ritellm.prices import Price, cost, reserve
from ritellm.prices.cost import tier_in
from ritellm.token_estimate import estimate_completion, estimate_request
from ritellm.types import Discarded
from transforms.budget.service_tier import tier_requested
from transforms.journal.base import NOTHING, Spent

Usage = Mapping[str, Any]
_NO_USAGE: Usage = {}


class Wasted(NamedTuple):
    """The columns of a row about its waste; the cost is None if it is not known."""

    wasted_tokens: int = 0
    wasted_cost_usd: float | None = 0.0
    waste_estimated: bool = False


class Waste:
    """The sum over the discarded attempts of one prompt; `params` and `body` are its request."""

    def __init__(
        self, params: Mapping[str, Any], body: Mapping[str, Any], prices: Mapping[str, Price]
    ) -> None:
        self._params = params
        self._body = body
        self._prices = prices
        self.columns = Wasted()
        self.spent = NOTHING  # for the budget

    def add(self, attempts: Iterable[Discarded]) -> None:
        """Add the discarded attempts of a stream or an error."""
        for attempt in attempts:
            self._add_counts(attempt)
            self._add_spent(attempt)

    def lose(self, attempts: Iterable[Discarded]) -> None:
        """Add all attempts of a request that lost: its last one is discarded, too."""
        self.add([replace(attempt, kept=False) for attempt in attempts])

    def lose_error(self, error: BaseException) -> None:
        """Add the attempts of a request that failed while another request succeeded."""
        if isinstance(error, RitellmError):
            self.lose(error.discarded)

    def _add_counts(self, attempt: Discarded) -> None:
        known, usage = _counted(attempt), self._usage(attempt, estimated=not attempt.counted)
        tier, elsewhere = self._tier(attempt), known if attempt.kept else _NO_USAGE
        tokens = _tokens(usage) - _tokens(elsewhere)
        if tokens <= 0:
            return
        usd = cost(attempt.model, usage, self._prices, tier)
        paid = cost(attempt.model, elsewhere, self._prices, tier) if elsewhere else 0.0
        before = self.columns.wasted_cost_usd
        unknown = usd is None or paid is None or before is None
        self.columns = Wasted(
            self.columns.wasted_tokens + tokens,
            None if unknown else (before or 0.0) + max(0.0, (usd or 0.0) - (paid or 0.0)),
            self.columns.waste_estimated or not attempt.counted,
        )

    def _add_spent(self, attempt: Discarded) -> None:
        known, likely = _counted(attempt), self._usage(attempt, estimated=True)
        most = larger(self._most(attempt, known), self._most(attempt, likely))
        rest = most - self._most(attempt, known) if attempt.kept else most
        self.spent += rest

    def _most(self, attempt: Discarded, usage: Usage) -> Spent:
        """Return the most that `usage` may cost; an unpriced tier counts as the dearest one."""
        tier = self._tier(attempt)
        usd = cost(attempt.model, usage, self._prices, tier)
        if usd is None and usage:
            usd = reserve(attempt.model, usage, self._prices, tier_in(usage, tier))
        return Spent(_tokens(usage), usd or 0.0)

    def _usage(self, attempt: Discarded, *, estimated: bool) -> Usage:
        """Return the provider's counts; with `estimated`, no less than the received text."""
        known = _counted(attempt)
        if not estimated:
            return known
        prompt = known.get("prompt_tokens") or self._prompt_tokens
        completion = max(
            known.get("completion_tokens") or 0, estimate_completion(attempt.completion)
        )
        total = max(known.get("total_tokens") or 0, prompt + completion)
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
        return {**known, **counts}

    def _tier(self, attempt: Discarded) -> str | None:
        """Return the tier of the response, or that of the request if no response came."""
        said: str | None = attempt.completion.get("service_tier")
        silent = not attempt.completion.get("choices") and not _counted(attempt)
        return tier_requested(self._request) if said is None and silent else said

    @cached_property
    def _request(self) -> Mapping[str, Any]:
        return {**self._params, **self._body}

    @cached_property
    def _prompt_tokens(self) -> int:
        return estimate_request(self._request)[0]


def _counted(attempt: Discarded) -> Usage:
    return counts_in(attempt.completion.get("usage"))


def _tokens(usage: Usage) -> int:
    counted = (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)
    return int(usage.get("total_tokens") or counted)


def larger(one: Spent, other: Spent) -> Spent:
    """Return the larger number of tokens and of dollars of both."""
    return Spent(max(one.tokens, other.tokens), max(one.usd, other.usd))
