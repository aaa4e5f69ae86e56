"""Outcomes as JSON for readers outside Beam: files, topics, streams and tables.

All of them have the same form, so one reader reads them all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from transforms import exact_json
from transforms.columns import fits
from transforms.elements import Completion, DeadLetter, Delta, Record, answer_facts

KINDS: dict[type, str] = {
    Delta: "delta",
    Record: "record",
    Completion: "completion",
    DeadLetter: "failed",
}


def to_bytes(element: Completion | DeadLetter | Delta | Record) -> bytes:
    """Return the JSON of one element; no newline in it."""
    return orjson.dumps(to_row(element))


def to_row(element: Completion | DeadLetter | Delta | Record) -> dict[str, Any]:
    """Return the row that `to_bytes` writes."""
    if isinstance(element, Delta):
        return delta_row(element)
    if isinstance(element, Completion):
        return completion_row(element)
    if isinstance(element, Record):
        return record_row(element)
    return failed_row(element)


def completion_row(row: Completion) -> dict[str, Any]:
    """Return a completion as a row; the fields that most readers want come first.

    A completion that was made with deltas has their `submission`.
    """
    completion = orjson.loads(row.completion)
    facts = answer_facts(row.completion)
    if facts is None:
        return _own_columns(row, completion)
    del completion["answer"]
    return {"id": row.id, **answer_columns(facts), **_own_columns(row, completion)}


def answer_columns(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an answer: its properties, and how it came about."""
    answer = exact_json.loads(facts["text"])
    made = {
        "reasks": facts.get("reasks"),
        "answer_mode": facts.get("mode"),
        "answer_stripped": facts.get("stripped"),
    }
    # The columns of a schema never have our names, but it may allow properties with any name.
    taken = {name: value for name, value in answer.items() if name in OWN_NAMES}
    free = {name: _exact(value) for name, value in answer.items() if name not in OWN_NAMES}
    return {**free, **made, **({"other_answer": _exact(taken)} if taken else {})}


def _exact(value: Any) -> Any:
    """Return a value as a part of JSON; large integers keep their digits."""
    if isinstance(value, (int, list, dict)):
        text = exact_json.dumps(value)
        return orjson.Fragment(text) if exact_json.has_large_integer(text) else value
    return value


# The columns of a completion as a row of JSON, which no column of an answer may have.
OWN_NAMES = frozenset(
    "id submission text finish_reason truncated shared usage cost_usd wasted_tokens wasted_cost_usd"
    " waste_estimated timing attempts error_type message status_code retryable completion input"
    " reasks answer_mode answer_stripped other_answer".split()
)


def _own_columns(row: Completion, completion: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        **({"submission": row.submission} if row.submission else {}),
        "text": row.text,
        "finish_reason": row.finish_reason,
        "truncated": row.finish_reason == "length",
        "shared": row.shared,
        "usage": completion.get("usage"),
        "cost_usd": row.cost_usd,
        **_waste(row),
        "timing": {
            "ttft": row.ttft,
            "inter_chunk_p50": row.inter_chunk_p50,
            "inter_chunk_p95": row.inter_chunk_p95,
            "seconds": row.seconds,
            "ended_at": row.ended_at,
        },
        "attempts": row.attempts,
        "error_type": None,
        "message": None,
        "status_code": None,
        "retryable": None,
        "completion": completion if _is_flat(row.completion) else orjson.Fragment(row.completion),
        "input": _part(row.input),
    }


def failed_row(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as a row, which is also valid input.

    Fields that a completion has too have the same names.
    """
    untimed = {"ttft": None, "inter_chunk_p50": None, "inter_chunk_p95": None}
    return {
        "id": letter.id,
        "error_type": letter.error_type,
        "message": letter.message,
        "status_code": letter.status_code,
        "retryable": letter.retryable,
        "attempts": letter.attempts,
        "partial_text": letter.partial_text,
        "usage": _part(letter.usage),
        "cost_usd": letter.cost_usd,
        **_waste(letter),
        "timing": {**untimed, "seconds": letter.seconds, "ended_at": letter.ended_at},
        "input": _part(letter.input),
    }


def _waste(row: Completion | DeadLetter) -> dict[str, Any]:
    return {
        "wasted_tokens": row.wasted_tokens,
        "wasted_cost_usd": row.wasted_cost_usd,
        "waste_estimated": row.waste_estimated,
    }


def record_row(record: Record) -> dict[str, Any]:
    """Return a record as a row; its `id` is that of the prompt."""
    row = {
        "id": record.id,
        **({"submission": record.submission} if record.submission else {}),
        "attempt": record.attempt,
        "index": record.index,
        "path": record.path,
        "value": None if record.value is None else orjson.Fragment(record.value),
        "valid": record.valid,
        "message": record.message,
        "tool_call": record.tool_call,
        "input": _part(record.input),
    }
    if record.final:
        row |= {"final": True, "outcome": _part(record.outcome)}
    return row


def delta_row(delta: Delta) -> dict[str, Any]:
    """Return a delta as a row; the final one has `outcome` and `input` too."""
    row = {
        "id": delta.id,
        "submission": delta.submission,
        "attempt": delta.attempt,
        "seq": delta.seq,
        "text": delta.text,
        "finish_reason": delta.finish_reason,
        "final": delta.final,
        "chunk": _raw(delta.chunk),
    }
    if delta.final:
        row |= {"outcome": _part(delta.outcome), "input": _part(delta.input)}
    return row


def to_delta(data: bytes) -> Delta:
    """Return the delta in `data`, written by `to_bytes`; raises ValueError for other data."""
    try:
        row = exact_json.loads(data.decode())
        nested = {name: _dumps(row.get(name)) for name in ("outcome", "input")}
        delta = Delta(**{**row, "chunk": exact_json.dumps(row["chunk"]), **nested})
        if not fits(delta):
            raise TypeError("a value of another type")
        return delta
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"not a delta: {data[:200]!r}") from None


def _dumps(value: Any) -> str | None:
    return None if value is None else exact_json.dumps(value)


def _raw(text: str | None) -> Any:
    """Return JSON text as a part of other JSON, without parsing it."""
    return None if text is None else orjson.Fragment(text)


# The JSON library writes at most 254 levels. A text with fewer brackets has fewer levels.
_FEW_LEVELS = 200


def _is_flat(text: str) -> bool:
    return text.count("[") + text.count("{") < _FEW_LEVELS


def _part(text: str | None) -> Any:
    """Return JSON text as a part of other JSON, however deep; other text becomes a string.

    Large integers keep their digits.
    """
    if text is None:
        return None
    try:
        if _is_flat(text) and not exact_json.has_large_integer(text):
            return orjson.loads(text)
        value = exact_json.loads(text)
        return orjson.Fragment(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        return text
