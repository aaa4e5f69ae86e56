"""When to send the next request, by the budgets in a provider's limit headers. Pure.

The problem: the provider counts when a request arrives, perhaps long before it responds, and
responses arrive in any order.

The idea: a budget counts from the start of its request. A spent budget delays all requests until it
resets. If few requests are left, they are spread over the time until then.

Invariants: an older request never overrules a newer one. The longest wait of all budgets counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from ritellm.limit_headers import Budget


class HeaderBudgets:
    """`not_before` is the earliest time of the next request; no wait exceeds `longest`."""

    __slots__ = ("_spent_until", "longest", "not_before")

    def __init__(self, longest: float) -> None:
        self.not_before = -1e9
        self.longest = longest
        self._spent_until: dict[str, tuple[float, float]] = {}  # by kind: as of, not before

    def update(self, budgets: Iterable[Budget], started: float, allowed: int) -> None:
        """Apply the budgets in the response to a request; `allowed` may be in flight."""
        waits: dict[str, float] = {}
        for budget in budgets:
            if budget.remaining is None or budget.reset is None:
                continue
            wait = min(budget.reset, self.longest)
            if budget.remaining > 0:
                scarce = budget.kind == "requests" and budget.remaining < allowed
                wait = wait / (budget.remaining + 1) if scarce else 0.0
            # Several budgets share a kind: per minute and per day, of input and of output tokens.
            waits[budget.kind] = max(wait, waits.get(budget.kind, 0.0))
        for kind, wait in waits.items():
            as_of, _ = self._spent_until.get(kind, (-1e9, 0.0))
            if started >= as_of:
                self._spent_until[kind] = (started, started + wait)
        self.not_before = max((until for _, until in self._spent_until.values()), default=-1e9)
