"""The outcome of a row as a dict with the same fields for a completion and for a failure."""

from __future__ import annotations

from typing import Any, TypedDict

from transforms import exact_json
from transforms.elements import Completion, DeadLetter


class Result(TypedDict):
    """What became of one row. `error_type` is None for a completed row.

    `index` is the position of the row, from 0, and `input` is the row itself. `text` and
    `completion` are None for a failed row, whose text so far is `partial_text`. `answer` is the
    checked answer of a call with `answer=Answer(...)`. `replayed` means that an earlier run has
    paid for it. The other fields are those of `Completion` and `DeadLetter`.
    """

    index: int
    id: str
    input: Any
    text: str | None
    answer: Any
    error_type: str | None
    message: str | None
    status_code: int | None
    retryable: bool | None
    partial_text: str
    finish_reason: str | None
    truncated: bool
    replayed: bool
    shared: bool
    usage: dict[str, Any] | None
    cost_usd: float | None
    wasted_tokens: int
    wasted_cost_usd: float | None
    waste_estimated: bool
    ttft: float | None
    seconds: float | None
    ended_at: float | None
    attempts: int
    completion: dict[str, Any] | None


def result_of(index: int, row: Any, outcome: Completion | DeadLetter) -> Result:
    """Return the dict of the outcome of `row`, the one at position `index`."""
    if isinstance(outcome, DeadLetter):
        return _failed(index, row, outcome)
    completion = exact_json.loads(outcome.completion)
    completion.pop("answer", None)
    return Result(
        index=index,
        id=outcome.id,
        input=row,
        text=outcome.text,
        answer=outcome.answer,
        error_type=None,
        message=None,
        status_code=None,
        retryable=None,
        partial_text="",
        finish_reason=outcome.finish_reason,
        truncated=outcome.finish_reason == "length",
        replayed=outcome.replayed,
        shared=outcome.shared,
        usage=completion.get("usage"),
        cost_usd=outcome.cost_usd,
        wasted_tokens=outcome.wasted_tokens,
        wasted_cost_usd=outcome.wasted_cost_usd,
        waste_estimated=outcome.waste_estimated,
        ttft=outcome.ttft,
        seconds=outcome.seconds,
        ended_at=outcome.ended_at,
        attempts=outcome.attempts,
        completion=completion,
    )


def _failed(index: int, row: Any, letter: DeadLetter) -> Result:
    return Result(
        index=index,
        id=letter.id,
        input=row,
        text=None,
        answer=None,
        error_type=letter.error_type,
        message=letter.message,
        status_code=letter.status_code,
        retryable=letter.retryable,
        partial_text=letter.partial_text,
        finish_reason=None,
        truncated=False,
        replayed=False,
        shared=False,
        usage=None if letter.usage is None else exact_json.loads(letter.usage),
        cost_usd=letter.cost_usd,
        wasted_tokens=letter.wasted_tokens,
        wasted_cost_usd=letter.wasted_cost_usd,
        waste_estimated=letter.waste_estimated,
        ttft=None,
        seconds=letter.seconds,
        ended_at=letter.ended_at,
        attempts=letter.attempts,
        completion=None,
    )
