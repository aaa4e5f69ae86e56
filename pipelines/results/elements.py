"""Rows as the elements from which the job's own formats make tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.results.columns import COMPLETED, answer_of, value_of
from transforms import exact_json
from transforms.elements import Completion, DeadLetter

_SHARED = "wasted_tokens wasted_cost_usd waste_estimated cost_usd".split()
_OURS = "finish_reason model prompt_tokens completion_tokens total_tokens cached_tokens".split()
_TIMES = "reasoning_tokens ttft inter_chunk_p50 inter_chunk_p95 seconds ended_at".split()


def to_completion(row: Mapping[str, Any]) -> Completion:
    """Return a completed row as an element."""
    bare = {name: value for name, value in row.items() if name != "input"}
    found = {name: value_of(bare, name, COMPLETED) for name in (*_OURS, *_TIMES)}
    return Completion(
        id=row["id"],
        text=row.get("text") or "",
        attempts=row.get("attempts") or 1,
        completion=exact_json.dumps(row.get("completion") or {}),
        input=_dumps(_with_answer(row)),
        shared=bool(row.get("shared")),
        **found,
        **_waste(row),
    )


def _with_answer(row: Mapping[str, Any]) -> Any:
    """Return the input row with the columns of a checked answer, as in the job's own tables."""
    given, answer = row.get("input"), answer_of(row)
    if not answer:
        return given
    return {**(given if isinstance(given, dict) else {"input": given}), **answer}


def to_dead_letter(row: Mapping[str, Any]) -> DeadLetter:
    """Return a failed row as an element."""
    timing = row.get("timing") or {}
    return DeadLetter(
        id=row["id"],
        request="",
        error_type=row.get("error_type") or "",
        message=row.get("message") or "",
        status_code=row.get("status_code"),
        retryable=bool(row.get("retryable")),
        attempts=row.get("attempts") or 0,
        partial_text=row.get("partial_text") or "",
        input=_dumps(row.get("input")),
        usage=_dumps(row.get("usage")),
        seconds=timing.get("seconds"),
        ended_at=timing.get("ended_at"),
        **_waste(row),
    )


def _waste(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: row.get(name) for name in _SHARED}
    return found | {
        "wasted_tokens": found["wasted_tokens"] or 0,
        "waste_estimated": bool(found["waste_estimated"]),
    }


def _dumps(value: Any) -> str | None:
    return None if value is None else exact_json.dumps(value)
