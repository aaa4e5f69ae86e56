"""What rows cost beside their own run: discarded attempts, and earlier runs. Pure sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transforms.elements import Completion, DeadLetter


@dataclass(slots=True)
class Wasted:
    """What was billed and discarded, over some rows."""

    rows: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    estimated: bool = False

    def add(self, row: Completion | DeadLetter) -> None:
        """Add the waste of one row."""
        cost = row.wasted_cost_usd
        one = Wasted(1, row.wasted_tokens, cost or 0.0, int(cost is None), row.waste_estimated)
        if row.wasted_tokens:
            self.merge(one)

    def merge(self, other: Wasted) -> None:
        """Add the counts of `other`."""
        self.rows += other.rows
        self.tokens += other.tokens
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced
        self.estimated = self.estimated or other.estimated

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON object; the cost is None if a price is unknown."""
        cost = None if self.unpriced else self.cost_usd
        counts = {"rows": self.rows, "tokens": self.tokens, "cost_usd": cost}
        return {**counts, "estimated": self.estimated}


@dataclass(slots=True)
class Earlier:
    """What earlier runs paid for the completions that came from the journal."""

    rows: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0

    def add(self, row: Completion) -> None:
        """Add one completion."""
        cost = row.cost_usd
        counts = row.prompt_tokens or 0, row.completion_tokens or 0
        self.merge(Earlier(1, *counts, cost or 0.0, int(cost is None)))

    def merge(self, other: Earlier) -> None:
        """Add the counts of `other`."""
        self.rows += other.rows
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost_usd += other.cost_usd
        self.unknown_costs += other.unknown_costs

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON object; the cost is None if that of a row is not known."""
        cost = None if self.unknown_costs else self.cost_usd
        return {
            "rows": self.rows,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": cost,
        }
