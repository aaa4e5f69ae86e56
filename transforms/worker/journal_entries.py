"""What was paid for once: completions to and from the journal. No Beam, no HTTP.

And how often a prompt was begun: deltas that readers have seen of an asking that died must not be
mixed with those of the next, so each asking numbers its attempts from a place of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from ritellm.chunks.sum import completion_to_chunk
from ritellm.errors import InvalidRequestError
from transforms.elements import Completion, Delta, Prompt
from transforms.journal.base import Spent
from transforms.journal.key import JournalKey, request_hash

# More attempts than one asking will ever make.
ATTEMPTS = 1000


def key_of(
    model: str, base_url: str | None, params: Mapping[str, Any], id: str, body: Mapping[str, Any]
) -> JournalKey | None:
    """Return where the answer to `body` is kept; None for a request that cannot be asked."""
    try:
        return JournalKey(id, request_hash(model, base_url, params, body))
    except (InvalidRequestError, TypeError, AttributeError):
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


def asked_key(key: JournalKey) -> JournalKey:
    """Return where it is kept how often the prompt under `key` was begun."""
    digest = blake2b(bytes.fromhex(key.request), digest_size=16, person=b"ritellm-asked")
    return JournalKey(key.id, digest.hexdigest())


def to_asked(times: int) -> bytes:
    """Return that a prompt was begun so often, as the journal keeps it."""
    return orjson.dumps({"asked": times})


def from_asked(value: bytes | None) -> int:
    """Return how often a prompt was begun, as far as the journal knows."""
    try:
        return int(orjson.loads(value)["asked"]) if value else 0
    except (KeyError, TypeError, ValueError):
        return 0


def spent_on(completion: Completion) -> Spent:
    """Return what `completion` cost."""
    tokens = (completion.total_tokens or 0) + completion.wasted_tokens
    return Spent(tokens, (completion.cost_usd or 0.0) + (completion.wasted_cost_usd or 0.0))


def as_deltas(completion: Completion, asked: int) -> Iterator[Delta]:
    """Yield deltas that sum to `completion`: all of it as one, and the final one.

    They are an attempt of their own, after those of the last of `asked` askings: a reader may have
    seen some of their deltas.
    """
    chunk = completion_to_chunk(orjson.loads(completion.completion))
    attempt = max(0, asked - 1) * ATTEMPTS + completion.attempts + 1
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
    outcome = {"attempts": completion.attempts, "ended_at": completion.ended_at, "timing": timing}
    closing = '{"object":"chat.completion.chunk","choices":[]}'
    free = {"replayed": completion.replayed, "shared": completion.shared}
    names = ("cost_usd", "wasted_tokens", "wasted_cost_usd", "waste_estimated")
    cost = {name: getattr(completion, name) for name in names}
    said = orjson.dumps({**outcome, **free, **cost}).decode()
    yield Delta(completion.id, attempt, 1, "", None, closing, True, said, completion.input)
