"""Makes elements from chunks, completions and errors. No Beam, no HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ritellm.chunks.usage import counts_in
from ritellm.errors import RitellmError
from ritellm.prices import Price, cost
from ritellm.types import Chunk
from transforms.elements import Completion, DeadLetter, Delta, Prompt

if TYPE_CHECKING:
    from ritellm.calls.stream_facts import StreamFacts


def to_delta(id: str, chunk: Chunk, submission: str) -> Delta:
    """Return `chunk` of `submission` as an element."""
    text, finish_reason = "", None
    for choice in chunk.get("choices") or ():
        if not choice.get("index"):
            text = (choice.get("delta") or {}).get("content") or ""
            finish_reason = choice.get("finish_reason")
    text = text if isinstance(text, str) else ""
    finish_reason = _text(finish_reason)
    whole = orjson.dumps(dict(chunk)).decode()  # orjson dumps a plain dict twice as fast
    place = chunk.attempt, chunk.seq or 0
    return Delta._make((id, *place, text, finish_reason, whole, False, None, None, submission))


def final_delta(
    prompt: Prompt, stream: StreamFacts, outcome: Mapping[str, Any], submission: str
) -> Delta:
    """Return the final delta of a whole attempt."""
    chunk = '{"object":"chat.completion.chunk","choices":[]}'
    closing = orjson.dumps(outcome).decode()
    place = prompt.id, stream.attempt, stream.length
    return Delta(*place, "", None, chunk, True, closing, prompt.input, submission)


def closing_chunk(completion: Mapping[str, Any]) -> str:
    """Return the chunk that ends a stream which was left early as `completion`: why, and usage."""
    choices = [
        {"index": choice.get("index") or 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        for choice in completion["choices"]
    ]
    head = {"object": "chat.completion.chunk", "choices": choices}
    return orjson.dumps({**head, "usage": completion["usage"]}).decode()


def to_completion(
    id: str, completion: Mapping[str, Any], outcome: Mapping[str, Any], input: str | None
) -> Completion:
    """Return a completion as an element; `outcome` has what is known only at its end."""
    choices = completion.get("choices") or [{}]
    usage = counts_in(completion.get("usage"))
    timing = outcome.get("timing") or {}
    gaps = timing.get("inter_chunk") or {}
    return Completion(
        id=id,
        text=text_of(completion),
        finish_reason=_text(choices[0].get("finish_reason")),
        model=_text(completion.get("model")),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        total_tokens=usage.get("total_tokens"),
        cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens"),
        reasoning_tokens=usage.get("completion_tokens_details", {}).get("reasoning_tokens"),
        ttft=timing.get("ttft"),
        inter_chunk_p50=gaps.get("p50"),
        inter_chunk_p95=gaps.get("p95"),
        seconds=timing.get("total"),
        ended_at=outcome.get("ended_at"),
        attempts=outcome.get("attempts") or 1,
        replayed=bool(outcome.get("replayed")),
        shared=bool(outcome.get("shared")),
        cost_usd=outcome.get("cost_usd"),
        wasted_tokens=outcome.get("wasted_tokens") or 0,
        wasted_cost_usd=outcome.get("wasted_cost_usd", 0.0),
        waste_estimated=bool(outcome.get("waste_estimated")),
        completion=orjson.dumps(completion).decode(),
        input=input,
    )


def to_dead_letter(
    prompt: Prompt, error: RitellmError, prices: Mapping[str, Price], started: float
) -> DeadLetter:
    """Return the dead letter of `prompt`, started at `started` (seconds since 1970)."""
    partial: Mapping[str, Any] = error.partial or {}
    usage = partial.get("usage")
    model = f"{error.provider}/{error.model}"
    now = time.time()
    return DeadLetter(
        id=prompt.id,
        request=prompt.request,
        error_type=type(error).__name__,
        message=str(error),
        status_code=error.status_code,
        retryable=error.retryable,
        attempts=error.attempts,
        partial_text=text_of(partial),
        input=prompt.input,
        usage=_written(usage),
        cost_usd=cost(model, usage, prices, partial.get("service_tier")),
        seconds=now - started,
        ended_at=now,
        place=prompt.place,
    )


def _text(value: Any) -> str | None:
    """Return a text for a column of texts; a provider may send anything."""
    return value if isinstance(value, str) else None


def _written(usage: Any) -> str | None:
    """Return the JSON of a usage; None for one that is missing, or nested too deeply."""
    try:
        return orjson.dumps(usage).decode() if usage else None
    except TypeError:
        return None


def text_of(completion: Mapping[str, Any]) -> str:
    """Return the text of the first choice."""
    choices = completion.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else ""
