"""What was paid for once: completions to and from the journal. No Beam, no HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ritellm.chunks import completion_to_chunk
from ritellm.errors import InvalidRequestError
from transforms.elements import Completion, Delta, Prompt
from transforms.journal.base import Spent
from transforms.journal.keys import JournalKey, request_hash


def key_of(
    model: str, base_url: str | None, params: Mapping[str, Any], prompt: Prompt
) -> JournalKey | None:
    """Return where the answer to `prompt` is kept; None for a request that cannot be asked."""
    try:
        body = orjson.loads(prompt.request)
        return JournalKey(prompt.id, request_hash(model, base_url, params, body))
    except (orjson.JSONDecodeError, InvalidRequestError, TypeError, AttributeError):
        return None


def to_value(completion: Completion) -> bytes:
    """Return `completion` as the journal keeps it: without the row, which may change."""
    kept = completion._replace(input=None, place=None, replayed=True)
    return orjson.dumps(kept._asdict())


def from_value(value: bytes, prompt: Prompt) -> Completion | None:
    """Return the kept completion as the answer to `prompt`; None if it is of another time."""
    try:
        row = {"id": prompt.id, "input": prompt.input, "place": prompt.place}
        return Completion(**{**orjson.loads(value), **row})
    except (TypeError, orjson.JSONDecodeError):
        return None


def spent_on(completion: Completion) -> Spent:
    """Return what `completion` cost."""
    return Spent(completion.total_tokens or 0, completion.cost_usd or 0.0)


def as_deltas(completion: Completion) -> Iterator[Delta]:
    """Yield deltas that sum to `completion`: all of it as one, and the final one."""
    chunk = completion_to_chunk(orjson.loads(completion.completion))
    attempt = completion.attempts
    yield Delta(
        completion.id,
        attempt,
        0,
        completion.text,
        completion.finish_reason,
        orjson.dumps(chunk).decode(),
    )
    timing = {
        "ttft": completion.ttft,
        "inter_chunk": {"p50": completion.inter_chunk_p50, "p95": completion.inter_chunk_p95},
        "total": completion.seconds,
    }
    outcome = {"attempts": attempt, "ended_at": completion.ended_at, "timing": timing}
    closing = '{"object":"chat.completion.chunk","choices":[]}'
    free = {"replayed": completion.replayed, "shared": completion.shared}
    said = orjson.dumps({**outcome, **free, "cost_usd": completion.cost_usd}).decode()
    yield Delta(completion.id, attempt, 1, "", None, closing, True, said, completion.input)
