"""The columns that an outcome has in a table, besides those of its input row. Pure.

A table has the columns of the input first, then these. If the input has a column of the same name,
ours has the prefix `ritellm_`; upper and lower case count as the same, as in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from ritellm.chunks.usage import counts_in
from transforms import exact_json
from transforms.elements import Completion, DeadLetter, Delta, Record

_PREFIX = "ritellm_"
# What has no place in the columns of the input. It is the last column.
REST = "other_input"
# Its name in CSV files of failed rows whose texts have no apostrophes before formulas.
RAW_REST = "other_input_raw"

_TOKENS = dict.fromkeys(
    "prompt_tokens completion_tokens total_tokens cached_tokens reasoning_tokens".split(), "int64"
)
_COST = {
    "cost_usd": "float64",
    "wasted_tokens": "int64",
    "wasted_cost_usd": "float64",
    "waste_estimated": "bool",
}
# The names with their types; `json` is a text that is JSON.
COMPLETION = {
    "id": "string",
    "text": "string",
    "finish_reason": "string",
    "truncated": "bool",
    "shared": "bool",
    "tool_calls": "json",
    "reasoning": "string",
    "model": "string",
    **_TOKENS,
    **_COST,
    "ttft": "float64",
    "inter_chunk_p50": "float64",
    "inter_chunk_p95": "float64",
    "seconds": "float64",
    "ended_at": "timestamp",
    "attempts": "int64",
    "completion": "json",
    REST: "json",
}
FAILED = {
    "id": "string",
    "error_type": "string",
    "message": "string",
    "status_code": "int64",
    "retryable": "bool",
    "attempts": "int64",
    "partial_text": "string",
    **_TOKENS,
    **_COST,
    "seconds": "float64",
    "ended_at": "timestamp",
    REST: "json",
}
# One record of a JSON answer; `id` is that of its row.
RECORD = {
    "id": "string",
    "index": "int64",
    "path": "string",
    "value": "json",
    "valid": "bool",
    "message": "string",
    "tool_call": "int64",
    REST: "json",
}


def columns_of(kind: type) -> dict[str, str]:
    """Return the columns of one kind of rows, with their types."""
    return {DeadLetter: FAILED, Record: RECORD}.get(kind, COMPLETION)


def own_names(columns: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return our names of `columns` beside the columns `taken` of the input."""
    used = {name.lower() for name in taken}
    names = []
    for name in columns:
        while name.lower() in used:
            name = _PREFIX + name
        used.add(name.lower())
        names.append(name)
    return names


def is_own(name: str, column: str) -> bool:
    """Return whether `name` is what `own_names` calls `column` in some table."""
    while name.startswith(_PREFIX) and name != column:
        name = name[len(_PREFIX) :]
    return name == column


def values_of(row: Completion | DeadLetter | Delta | Record) -> list[Any]:
    """Return the values of our columns but the last; `ended_at` in seconds."""
    if isinstance(row, DeadLetter):
        return failed_values(row)
    if isinstance(row, Completion):
        return completion_values(row)
    if isinstance(row, Record):
        return record_values(row)
    raise TypeError("deltas have no columns")


def record_values(row: Record) -> list[Any]:
    """Return the values of the columns in `RECORD` but the last."""
    return [row.id, row.index, row.path, row.value, row.valid, row.message, row.tool_call]


def completion_values(row: Completion) -> list[Any]:
    """Return the values of the columns in `COMPLETION` but the last; `ended_at` in seconds."""
    return [
        row.id,
        row.text,
        row.finish_reason,
        row.finish_reason == "length",
        row.shared,
        *_parts(row.completion),
        row.model,
        row.prompt_tokens,
        row.completion_tokens,
        row.total_tokens,
        row.cached_tokens,
        row.reasoning_tokens,
        row.cost_usd,
        row.wasted_tokens,
        row.wasted_cost_usd,
        row.waste_estimated,
        row.ttft,
        row.inter_chunk_p50,
        row.inter_chunk_p95,
        row.seconds,
        row.ended_at,
        row.attempts,
        row.completion,
    ]


def _parts(completion: str) -> tuple[str | None, str | None]:
    """Return the tool calls of the first choice as JSON, and its reasoning."""
    if '"tool_calls"' not in completion and '"reasoning_content"' not in completion:
        return None, None
    message = (orjson.loads(completion).get("choices") or [{}])[0].get("message") or {}
    calls, reasoning = message.get("tool_calls"), message.get("reasoning_content")
    return (
        orjson.dumps(calls).decode() if calls else None,
        reasoning if isinstance(reasoning, str) else None,
    )


def failed_values(row: DeadLetter) -> list[Any]:
    """Return the values of the columns in `FAILED` but the last; `ended_at` in seconds."""
    return [
        row.id,
        row.error_type,
        row.message,
        row.status_code,
        row.retryable,
        row.attempts,
        row.partial_text,
        *_tokens(row.usage),
        row.cost_usd,
        row.wasted_tokens,
        row.wasted_cost_usd,
        row.waste_estimated,
        row.seconds,
        row.ended_at,
    ]


def _tokens(text: str | None) -> Iterator[int | None]:
    usage = counts_in(orjson.loads(text)) if text else {}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        yield usage.get(name)
    yield (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    yield (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")


# The years 1 to 9999, which every format of times has.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def microseconds(seconds: float | None) -> int | None:
    """Return seconds since 1970 in microseconds; None for None, and beyond the calendar."""
    if seconds is None or not _FIRST <= seconds <= _LAST:
        return None
    return round(seconds * 1e6)


def cell_of(value: Any) -> str:
    """Return a JSON value as the text of a cell: texts as they are, other values as JSON."""
    return value if isinstance(value, str) else exact_json.dumps(value)
