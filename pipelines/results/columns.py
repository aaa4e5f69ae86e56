"""The columns of a row: those of its input, then ours, as in a table that the job writes. Pure.

`pipelines.tables.outcomes` lists them, and imports Beam. Here is where each one is in the line of a
row, so that a reader starts without it. A test compares the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipelines.errors import UsageError
from ritellm.suggest import did_you_mean

_PREFIX = "ritellm_"
_Path = tuple[str | int, ...]
_USAGE: Mapping[str, _Path] = {
    "prompt_tokens": ("usage", "prompt_tokens"),
    "completion_tokens": ("usage", "completion_tokens"),
    "total_tokens": ("usage", "total_tokens"),
    "cached_tokens": ("usage", "prompt_tokens_details", "cached_tokens"),
    "reasoning_tokens": ("usage", "completion_tokens_details", "reasoning_tokens"),
}
_COST: Mapping[str, _Path] = {
    name: (name,) for name in ("cost_usd", "wasted_tokens", "wasted_cost_usd", "waste_estimated")
}
_MESSAGE: _Path = ("completion", "choices", 0, "message")
COMPLETED: Mapping[str, _Path] = {
    "id": ("id",),
    "text": ("text",),
    "finish_reason": ("finish_reason",),
    "truncated": ("truncated",),
    "shared": ("shared",),
    "tool_calls": (*_MESSAGE, "tool_calls"),
    "reasoning": (*_MESSAGE, "reasoning_content"),
    "model": ("completion", "model"),
    **_USAGE,
    **_COST,
    "ttft": ("timing", "ttft"),
    "inter_chunk_p50": ("timing", "inter_chunk_p50"),
    "inter_chunk_p95": ("timing", "inter_chunk_p95"),
    "seconds": ("timing", "seconds"),
    "ended_at": ("timing", "ended_at"),
    "attempts": ("attempts",),
    "completion": ("completion",),
}
FAILED: Mapping[str, _Path] = {
    "id": ("id",),
    "error_type": ("error_type",),
    "message": ("message",),
    "status_code": ("status_code",),
    "retryable": ("retryable",),
    "attempts": ("attempts",),
    "partial_text": ("partial_text",),
    **_USAGE,
    **_COST,
    "seconds": ("timing", "seconds"),
    "ended_at": ("timing", "ended_at"),
}
INPUT = "input"  # the whole input row
# The fields of the line of a completion that are not columns of its answer.
_LINE = frozenset(
    "id submission text finish_reason truncated shared usage cost_usd wasted_tokens wasted_cost_usd"
    " waste_estimated timing attempts error_type message status_code retryable completion"
    " input".split()
)


def value_of(row: Mapping[str, Any], name: str, ours: Mapping[str, _Path]) -> Any:
    """Return the value of a column of `row`, None if it has none.

    A column of the input comes first. Ours has the prefix `ritellm_` beside one of the same name,
    and may always be named so.
    """
    given = row.get(INPUT)
    if isinstance(given, dict) and name in given:
        return given[name]
    plain = name
    while plain.startswith(_PREFIX) and plain not in ours:
        plain = plain[len(_PREFIX) :]
    if plain == INPUT:
        return given
    # A column of a checked answer is a field of the line itself.
    return _at(row, ours[plain]) if plain in ours else row.get(name)


def answer_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the checked answer of a row; none in jobs without one."""
    if "answer_mode" not in row:
        return {}
    return {name: value for name, value in row.items() if name not in _LINE}


def _at(row: Any, path: _Path) -> Any:
    if not path:
        return None
    for step in path:
        if isinstance(step, int):
            row = row[step] if isinstance(row, list) and len(row) > step else None
        else:
            row = row.get(step) if isinstance(row, dict) else None
    return row


def chooser(names: Sequence[str], failed: bool) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Return what yields the values of the columns `names` of a row."""
    ours = FAILED if failed else COMPLETED
    return lambda row: [value_of(row, name, ours) for name in names]


def check_names(names: Iterable[str], row: Mapping[str, Any], failed: bool) -> None:
    """Raise UsageError for a column that neither the first `row` nor we have."""
    ours = FAILED if failed else COMPLETED
    given = row.get(INPUT)
    known = [*(given if isinstance(given, dict) else ()), *answer_of(row), *ours, INPUT]
    known = list(dict.fromkeys(known))  # a column of the input may have the name of one of ours
    for name in names:
        plain = name
        while plain.startswith(_PREFIX):
            plain = plain[len(_PREFIX) :]
        if name not in known and plain not in ours:
            near = did_you_mean(name, known)
            raise UsageError(
                f"--columns names {name!r}, which the first row does not have; it has"
                f" {', '.join(known[:60])}{near}"
            )
