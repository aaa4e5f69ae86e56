"""What Claude accepts together: how much it thinks, and what that excludes. No I/O, no clock.

https://platform.claude.com/docs/en/build-with-claude/extended-thinking. Models from Claude 4.6 on
decide themselves how much to think, at a level of effort. Older ones get a budget of tokens, which
must be less than `max_tokens`. Bedrock and Vertex AI have the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.types import Request
from ritellm.wire import models
from ritellm.wire.request import max_tokens, refuse, stop_list

# Anthropic requires a limit. Models from Claude 4.6 on think by default and count the thoughts
# against it, and allow far more. The older models allow about as much as this.
DEFAULT_MAX_TOKENS = 8_192
ADAPTIVE_MAX_TOKENS = 32_000
LEAST_BUDGET = 1_024

# The budgets for thinking, for models that require a number.
_BUDGETS = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_000,
    "max": 32_000,
}
# Since Claude 4.7 the thoughts are not sent by default.
_ADAPTIVE = {"type": "adaptive", "display": "summarized"}
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_OLDEST = (3, 7)
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
_LEAST_TOP_P = 0.95
# The name of a beta feature, without its date.
_INTERLEAVED = "interleaved-thinking-"


@dataclass(frozen=True, slots=True)
class Thinking:
    """The fields of a request that decide about thinking: `thinking`, `effort`, `max_tokens`."""

    config: Mapping[str, Any] | None
    effort: str | None
    limit: int

    @property
    def is_on(self) -> bool:
        """Whether the request asks the model to think."""
        return self.config is not None and self.config.get("type") != "disabled"

    @property
    def has_budget(self) -> bool:
        """Whether the thoughts have a budget."""
        return self.config is not None and "budget_tokens" in self.config


def version(model: str) -> tuple[int, int] | None:
    """Return (major, minor) of a Claude, or None for a name without a version."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def adaptive(model: str) -> bool:
    """Return whether `model` decides itself how much to think (Claude 4.6 and later).

    Older models require a budget, and so do models of other makers that use this dialect.
    """
    found = version(model)
    return "claude" in model if found is None else found >= (4, 6)


def settled(
    params: Mapping[str, Any], request: Request, dialect: str
) -> tuple[dict[str, Any], Thinking]:
    """Return the parameters that can be sent together, and how much to think.

    Raises UnsupportedParamsError for a combination that Claude refuses. With `drop_params` the
    forced choice of a tool counts before thinking, and thinking before sampling.
    """
    kept, model = dict(params), request.model
    thinking = _thinking(kept, request, dialect)
    if "claude" in model:
        if thinking.is_on and _forces_tool(kept):
            refuse(request, dialect, "tool_choice that requires a tool while the model thinks")
            thinking = Thinking(None, thinking.effort, thinking.limit)
        for name in _excluded(kept, thinking.is_on, version(model)):
            if kept[name] != 1 or name == "top_k":
                why = "while the model thinks" if thinking.is_on else "beside temperature"
                refuse(request, dialect, f"{name} {kept[name]!r} {why}")
            del kept[name]
    return kept, thinking


def stops(params: Mapping[str, Any], request: Request, dialect: str) -> list[str] | None:
    """Return the stop sequences; Claude refuses one of white space alone."""
    given = stop_list(params) or []
    kept = [stop for stop in given if stop.strip()]
    if len(kept) < len(given):
        refuse(request, dialect, "stop sequence of white space alone")
    return kept or None


def _excluded(params: Mapping[str, Any], thinks: bool, model: tuple[int, int] | None) -> list[str]:
    """Return the parameters for sampling that Claude refuses beside others."""
    top_p = params.get("top_p")
    if thinks:
        narrow = ["top_p"] if top_p is not None and top_p < _LEAST_TOP_P else []
        return [name for name in ("temperature", "top_k", *narrow) if name in params]
    # https://platform.claude.com/docs/en/about-claude/models/migration-guide: since Claude 4.1.
    both = "temperature" in params and top_p is not None
    if both and model is not None and model >= (4, 1):
        return ["temperature" if params["temperature"] == 1 else "top_p"]
    return []


def _forces_tool(params: Mapping[str, Any]) -> bool:
    choice = params.get("tool_choice")
    if isinstance(choice, Mapping):
        return choice.get("type") not in ("auto", "none", "allowed_tools")
    return choice == "required"


def _thinking(params: Mapping[str, Any], request: Request, dialect: str) -> Thinking:
    model = request.model
    config = _given(params, request, dialect)
    wanted = params.get("reasoning_effort")
    if config is None and wanted is not None:
        found = version(model)
        if found is not None and found < _OLDEST and wanted != "none":
            refuse(request, dialect, f"reasoning_effort for {model}")
        elif found is None or found >= _OLDEST:
            config = _from_effort(wanted, params, model)
    level = models.effort(model, wanted)
    effort = "low" if level == "minimal" else level
    if wanted in (None, "none") or not adaptive(model):
        effort = None
    return Thinking(config, effort, _limit(params, config, model))


def _given(params: Mapping[str, Any], request: Request, dialect: str) -> Mapping[str, Any] | None:
    """Return the caller's own `thinking`, if it can be sent."""
    config: Mapping[str, Any] | None = params.get("thinking")
    budget = (config or {}).get("budget_tokens")
    if not isinstance(budget, int):
        return config or None
    if (found := version(request.model)) and found >= (4, 7):
        what, advice = f"thinking budget for {request.model}", "set reasoning_effort instead"
        refuse(request, dialect, what, advice)
        return _ADAPTIVE
    limit = max_tokens(params)
    if limit is None or budget < limit or _interleaves(request):
        return config
    if not request.drop_params:
        raise InvalidRequestError(
            f"thinking.budget_tokens must be less than max_tokens, got {budget} and {limit}"
        )
    return _budget(budget, limit)


def _interleaves(request: Request) -> bool:
    """Return whether thoughts between calls of tools are allowed, whose budget has no limit."""
    return any(name.startswith(_INTERLEAVED) for name in _betas(request))


def _betas(request: Request) -> Iterator[str]:
    """Yield the names of the beta features that the caller asks for.

    Anthropic reads them from a header, Vertex AI and Bedrock also from the body.
    """
    headers = {name.lower(): value for name, value in request.extra_headers.items()}
    body = request.extra_body
    inner = body.get("additionalModelRequestFields")
    fields = (inner if isinstance(inner, Mapping) else {}).get("anthropic_beta")
    for given in (headers.get("anthropic-beta"), body.get("anthropic_beta"), fields):
        for names in given if isinstance(given, (list, tuple)) else [given]:
            yield from (name.strip() for name in str(names).split(","))


def _from_effort(effort: Any, params: Mapping[str, Any], model: str) -> Mapping[str, Any] | None:
    if effort == "none":
        return {"type": "disabled"}
    if adaptive(model):
        return _ADAPTIVE
    if effort not in _BUDGETS:
        raise InvalidRequestError(
            f"reasoning_effort must be one of none, {', '.join(_BUDGETS)}, got {effort!r}"
        )
    wanted, given = _BUDGETS[effort], max_tokens(params)
    if given is not None:
        return _budget(wanted, given)
    most = models.family(model).max_output
    room = most - DEFAULT_MAX_TOKENS if most else wanted
    return _budget(min(wanted, room), 2 * wanted)


def _budget(wanted: int, limit: Any) -> Mapping[str, Any] | None:
    """Return a budget that leaves half of the limit for the text, or None without any room.

    Anthropic counts the thoughts within max_tokens.
    """
    budget = max(LEAST_BUDGET, min(wanted, int(limit) // 2))
    return {"type": "enabled", "budget_tokens": budget} if budget < limit else None


def _limit(params: Mapping[str, Any], thinking: Mapping[str, Any] | None, model: str) -> Any:
    """Return max_tokens; the default leaves room for the text after the thoughts."""
    given = max_tokens(params)
    if given is not None:
        return given
    if adaptive(model):
        return ADAPTIVE_MAX_TOKENS
    default = DEFAULT_MAX_TOKENS + int((thinking or {}).get("budget_tokens") or 0)
    return min(default, models.family(model).max_output or default)
