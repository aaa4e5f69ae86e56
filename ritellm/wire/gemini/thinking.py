"""How much Gemini thinks: at a level since Gemini 3, within a budget before. No I/O and no clock.

https://ai.google.dev/gemini-api/docs/thinking. Gemini counts the thoughts within maxOutputTokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.types import Request
from ritellm.wire import models
from ritellm.wire.request import max_tokens, present, refuse

# Google's own budgets for OpenAI's efforts: https://ai.google.dev/gemini-api/docs/openai#thinking
_BUDGETS = {
    "none": 0,
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
# The smallest and the largest budget of a model. Only Flash can be told not to think.
_RANGES = {"pro": (128, 32_768), "flash-lite": (512, 24_576), "flash": (1, 24_576)}
_UNKNOWN = (1, 24_576)
_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_OLDEST = (2, 5)


def thinks_in_levels(model: str) -> bool:
    """Return whether `model` takes a thinkingLevel (Gemini 3 and later) rather than a budget."""
    return _version(model) >= (3, 0)


def _version(model: str) -> tuple[int, int]:
    """Return (major, minor); a name without a version is the newest model's."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def thinking_config(
    params: Mapping[str, Any], request: Request, dialect: str
) -> dict[str, Any] | None:
    """Return how much to think, thoughts included; `thinking` may be in Anthropic's shape."""
    thinking = params.get("thinking")
    if thinking is not None and "type" not in thinking:
        return dict(thinking)  # Gemini's own shape
    if thinking is not None:
        words = {"disabled": 0, "adaptive": -1}
        budget = words.get(thinking["type"], thinking.get("budget_tokens"))
        return _budget(budget, params, request, dialect)
    effort = params.get("reasoning_effort")
    if effort is None:
        return None
    if not thinks_in_levels(request.model):
        if _version(request.model) < _OLDEST:
            if effort != "none":
                refuse(request, dialect, f"reasoning_effort for {request.model}")
            return None
        if effort not in _BUDGETS:
            raise InvalidRequestError(
                f"reasoning_effort must be one of {', '.join(_BUDGETS)}, got {effort!r}"
            )
        return _budget(_BUDGETS[effort], params, request, dialect)
    if effort == "none":
        refuse(request, dialect, "reasoning_effort none for this model", "use minimal")
        return None
    level = models.effort(request.model, effort)
    return {"thinkingLevel": str(level).upper(), "includeThoughts": True}


def _budget(
    wanted: Any, params: Mapping[str, Any], request: Request, dialect: str
) -> dict[str, Any] | None:
    """Return a budget that the model has, and that leaves half of the limit for the text."""
    if not isinstance(wanted, int) or wanted < 0 or thinks_in_levels(request.model):
        return present(thinkingBudget=wanted, includeThoughts=wanted != 0)
    if wanted == 0:
        if "pro" in request.model:
            refuse(request, dialect, "reasoning_effort none for this model", "use minimal")
            return None
        return {"thinkingBudget": 0, "includeThoughts": False}
    least, most = next((r for name, r in _RANGES.items() if name in request.model), _UNKNOWN)
    limit = max_tokens(params)
    room = most if limit is None else min(most, int(limit) // 2)
    return {"thinkingBudget": max(least, min(wanted, room)), "includeThoughts": True}
