"""litellm's module of this name: `ritellm.cost_calculator.completion_cost(completion)`."""

from __future__ import annotations

from ritellm.dropin.costs import completion_cost, cost_per_token, hidden_params

__all__ = ["completion_cost", "cost_per_token", "hidden_params"]
