"""Completions and submissions of prompts, as entries of the journal. No Beam, no HTTP.

A run that dies may have published deltas. The next submission of the same prompt must be the newer
one for readers, even if the clock has jumped back. So the order of a submission is noted in the
journal before its first delta is put.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from hashlib import blake2b
from typing import Any

import orjson

from ritellm.chunks.sum import completion_to_chunk
from ritellm.errors import ABOUT_VALUES, InvalidRequestError
from transforms.columns import fits
from transforms.elements import Completion, DeadLetter, Delta, Prompt, answer_facts
from transforms.journal.base import Journal, Spent
from transforms.journal.key import JournalKey, request_hash
from transforms.worker.loop.inbox import Inbox
from transforms.worker.requests import PromptRequest

Lookup = Callable[[JournalKey], bytes | None]


class KeyedEntries:
    """The completions of requests with a key, as `lookup` finds them by their keys."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def key(
        self,
        model: str,
        base_url: str | None,
        params: Mapping[str, Any],
        prompt: Prompt,
        body: Mapping[str, Any],
    ) -> JournalKey | None:
        """Return the key of the completion of `body`; None if the request has no hash."""
        return key_of(model, base_url, params, prompt.key or prompt.id, body)

    def completion(self, request: PromptRequest) -> Completion | None:
        """Return the completion of an earlier run of `request`. May block."""
        if request.key is None:
            return None
        return _completion(self._lookup(request.key), request.prompt)


class JournalEntries(KeyedEntries):
    """Completions and orders of submissions in `journal`, for requests with a key."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal.lookup)
        self._journal = journal

    async def equal_completion(self, request: PromptRequest) -> Completion | None:
        """Return the completion of an equal request of any row."""
        if request.key is None:
            return None
        value = await asyncio.to_thread(self._journal.lookup_equal, request.key.request)
        return _completion(value, request.prompt)

    def last_order(self, request: PromptRequest) -> int:
        """Return the order of the last submission of `request`, 0 without one. May block."""
        if request.key is None:
            return 0
        return from_order(self._journal.lookup(order_key(request.key)))

    def note_order(self, request: PromptRequest, order: int) -> Future[None]:
        """Note the order of a submission of `request`; the future is done when that is durable."""
        if request.key is None:
            return _DONE
        return self._journal.record(order_key(request.key), to_order(order))

    async def record(
        self, request: PromptRequest, completion: Completion | DeadLetter, spent: Spent | None
    ) -> None:
        """Return once `completion` is durable: only then may it leave the worker.

        `spent` is what the ledger counted, None without a ledger.
        """
        if request.key is None or not isinstance(completion, Completion):
            return
        value = to_value(completion)
        await durable(self._journal.record(request.key, value, spent or spent_on(completion)))


class NoJournal:
    """Stands for the journal of a job without one: finds nothing and records nothing."""

    def key(self, *_: object) -> None:
        """Return None: without a journal no request needs a hash."""

    def completion(self, request: PromptRequest) -> Completion | None:
        """Return None."""
        return None

    async def equal_completion(self, request: PromptRequest) -> Completion | None:
        """Return None."""
        return None

    def last_order(self, request: PromptRequest) -> int:
        """Return 0."""
        return 0

    def note_order(self, request: PromptRequest, order: int) -> Future[None]:
        """Return a future that is done."""
        return _DONE

    async def record(
        self, request: PromptRequest, completion: Completion | DeadLetter, spent: Spent | None
    ) -> None:
        """Return at once."""


_DONE: Future[None] = Future()
_DONE.set_result(None)


async def durable(written: Future[None]) -> None:
    """Return once the journal has finished the write `written`; raises the error of the write."""
    if not written.done():
        await Inbox.of(asyncio.get_running_loop()).result(written)
    written.result()


def key_of(
    model: str, base_url: str | None, params: Mapping[str, Any], id: str, body: Mapping[str, Any]
) -> JournalKey | None:
    """Return the key of the completion of `body`; None for a request that has no hash."""
    try:
        return JournalKey(id, request_hash(model, base_url, params, body))
    except (InvalidRequestError, TypeError, AttributeError):
        return None


def to_value(completion: Completion) -> bytes:
    """Return `completion` as the journal stores it: without the row, which may change."""
    kept = completion._replace(input=None, place=None, replayed=True)
    row = kept._asdict()
    if kept.submission is None:
        del row["submission"]
    return orjson.dumps(row)


def from_value(value: bytes, prompt: Prompt) -> Completion | None:
    """Return the stored completion for `prompt`; None if it has other columns, or odd values."""
    try:
        row = {"id": prompt.id, "input": prompt.input, "place": prompt.place}
        found = Completion(**{**orjson.loads(value), **row})
        is_whole = fits(found) and completion_to_chunk(orjson.loads(found.completion))
        return found if is_whole else None
    except ABOUT_VALUES:
        return None


def _completion(value: bytes | None, prompt: Prompt) -> Completion | None:
    return None if value is None else from_value(value, prompt)


# The word "asked" is part of the journal's format.


def order_key(key: JournalKey) -> JournalKey:
    """Return the key of the order of the last submission of the prompt under `key`."""
    digest = blake2b(bytes.fromhex(key.request), digest_size=16, person=b"ritellm-asked")
    return JournalKey(key.id, digest.hexdigest())


def to_order(order: int) -> bytes:
    """Return the order of a submission, as the journal stores it."""
    return orjson.dumps({"asked": order})


def from_order(value: bytes | None) -> int:
    """Return the stored order; 0 if there is none."""
    try:
        return int(orjson.loads(value)["asked"]) if value else 0
    except (KeyError, OverflowError, TypeError, ValueError):
        return 0


def spent_on(completion: Completion) -> Spent:
    """Return what `completion` cost."""
    tokens = (completion.total_tokens or 0) + completion.wasted_tokens
    return Spent(tokens, (completion.cost_usd or 0.0) + (completion.wasted_cost_usd or 0.0))


def as_deltas(completion: Completion, submission: str) -> Iterator[Delta]:
    """Yield two deltas that sum to `completion`: one with all of it, and the final one.

    They are an attempt of their own, numbered after those of `submission` itself, because readers
    may have seen some of its deltas.
    """
    chunk = completion_to_chunk(orjson.loads(completion.completion))
    attempt = completion.attempts + 1
    yield Delta(
        completion.id,
        attempt,
        0,
        completion.text,
        completion.finish_reason,
        orjson.dumps(chunk).decode(),
        submission=submission,
    )
    timing = {
        "ttft": completion.ttft,
        "inter_chunk": {"p50": completion.inter_chunk_p50, "p95": completion.inter_chunk_p95},
        "total": completion.seconds,
    }
    outcome = {"attempts": completion.attempts, "ended_at": completion.ended_at, "timing": timing}
    if (facts := answer_facts(completion.completion)) is not None:
        outcome["answer"] = facts
    closing = '{"object":"chat.completion.chunk","choices":[]}'
    free = {"replayed": completion.replayed, "shared": completion.shared}
    names = ("cost_usd", "wasted_tokens", "wasted_cost_usd", "waste_estimated")
    cost = {name: getattr(completion, name) for name in names}
    said = orjson.dumps({**outcome, **free, **cost}).decode()
    end = (completion.id, attempt, 1, "", None, closing, True, said, completion.input)
    yield Delta(*end, submission)
