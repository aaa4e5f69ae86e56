"""One prompt, asked: a stream of deltas, then a completion or a dead letter. No Beam, no HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ritellm.errors import InvalidRequestError, RateLimitError, RitellmError
from ritellm.prepare import CALLER_ONLY
from ritellm.providers import split_model
from ritellm.types import Chunk
from transforms import paid
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.engine import Put
from transforms.hedging import Hedge, hedged

if TYPE_CHECKING:
    from ritellm import AsyncClient, AsyncStream
    from ritellm.gate import Gate
    from transforms.journal import Journal, JournalKey

Outcome = Delta | Completion | DeadLetter

# One answer in a thousand must not be lost to a provider that fails one attempt in ten.
_DEFAULTS: Mapping[str, Any] = {"on_interrupt": "restart", "num_retries": 5}

# Where nobody watches the deltas, a stream is read now and then: a wake-up each, not a wake-up
# for every chunk.
_UNWATCHED: Mapping[str, Any] = {"buffer_msec": 50}


@dataclass(frozen=True, slots=True)
class Means:
    """What a process asks with: shared by all that it asks."""

    client: AsyncClient
    gate: Gate | None = None
    hedge: Hedge | None = None
    journal: Journal | None = None


class Begun(NamedTuple):
    """An answer under way: its first chunks, and where the others come from."""

    stream: AsyncStream
    first: list[Chunk]
    rest: AsyncIterator[list[Chunk]]


async def _give_up(begun: Begun) -> None:
    await begun.stream.aclose()


@dataclass(frozen=True)
class Ask:
    """Asks prompts of a model; `params` are arguments of `ritellm.completion` for every prompt.

    `rate_limiter` is Beam's, for a limit that holds across workers; it may block.
    """

    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    deltas: bool = True
    completions: bool = False
    rate_limiter: Any = None
    base_url: str | None = None  # where the client asks: part of what an answer is kept under

    async def __call__(
        self, means: Means, prompt: Prompt, put: Put[Outcome], asked: int = 0
    ) -> None:
        """Put all that comes of `prompt`: deltas and a completion as wanted, or a dead letter.

        After `asked` askings that came to nothing, the attempts have numbers that those had not.
        """
        before = asked * paid.ATTEMPTS
        try:
            noted = self._note(means, prompt, asked + 1)
            begun = await self._begin_in_time(means, prompt)
            async with begun.stream as stream:
                if self.deltas:
                    if noted is not None:
                        await noted
                    await put([to_delta(prompt.id, chunk, before) for chunk in begun.first])
                    async for chunks in begun.rest:
                        await put([to_delta(prompt.id, chunk, before) for chunk in chunks])
            ending = self._ending(prompt, stream, before)
            await self._keep(means, prompt, ending[-1])
            await put(ending if self.completions else ending[:-1])
        except RitellmError as error:
            await put([to_dead_letter(prompt, error)])

    async def _begin_in_time(self, means: Means, prompt: Prompt) -> Begun:
        """Return the answer once it is under way; a late one may be asked for a second time."""
        if means.hedge is None:
            return await self._begin(means.client, prompt)
        return await hedged(
            means.hedge,
            lambda: means.gate is None or means.gate.calm,
            lambda: self._begin(means.client, prompt),
            _give_up,
        )

    async def _begin(self, client: AsyncClient, prompt: Prompt) -> Begun:
        """Return the answer with its first chunks; if nobody wants deltas, read to its end."""
        if self.rate_limiter is not None and not await asyncio.to_thread(self.rate_limiter.allow):
            raise RateLimitError("the job's own rate limiter refused the request")
        stream = await self._open(client, prompt)
        try:
            batches = stream.batches()
            first = await batches.__anext__()
            if not self.deltas:
                async for _ in batches:
                    pass
            return Begun(stream, first, batches)
        except BaseException:
            await stream.aclose()
            raise

    async def _open(self, client: AsyncClient, prompt: Prompt) -> AsyncStream:
        body = request_of(prompt)
        model = same_provider(body.pop("model", None) or self.model, self.model)
        messages = body.pop("messages", None)
        body.pop("stream", None)
        pace = {} if self.deltas else _UNWATCHED
        arguments = {**_DEFAULTS, **pace, **self.params, **body}
        return await client.completion(model, messages, stream=True, **arguments)

    async def _keep(self, means: Means, prompt: Prompt, completion: Outcome) -> None:
        """Return once the journal has `completion` for good: only then may its row go on."""
        if means.journal is None or not isinstance(completion, Completion):
            return
        if (key := self._key(prompt)) is not None:
            value, spent = paid.to_value(completion), paid.spent_on(completion)
            await asyncio.wrap_future(means.journal.record(key, value, spent))

    def _key(self, prompt: Prompt) -> JournalKey | None:
        return paid.key_of(self.model, self.base_url, self.params, prompt)

    def _ending(self, prompt: Prompt, stream: AsyncStream, before: int) -> list[Outcome]:
        """Return the final delta, if deltas are wanted, and last the completion."""
        outcome = {
            "attempts": stream.attempts,
            "ended_at": time.time(),
            "timing": stream.timing.as_dict(),
        }
        completion = to_completion(prompt.id, stream.completion, outcome, prompt.input)
        if not self.deltas:
            return [completion]
        return [final_delta(prompt, stream, outcome, before), completion]

    def again(self, means: Means, prompt: Prompt) -> Iterator[Outcome]:
        """Yield what the journal has of `prompt`: nothing, or all that asking it had brought."""
        if means.journal is None or (key := self._key(prompt)) is None:
            return
        value = means.journal.lookup(key)
        completion = paid.from_value(value, prompt) if value is not None else None
        if completion is None:
            return
        if self.deltas:
            yield from paid.as_deltas(completion, self.times_asked(means, prompt))
        if self.completions:
            yield completion

    def times_asked(self, means: Means, prompt: Prompt) -> int:
        """Return how often `prompt` was begun before, where its deltas may have been seen."""
        if not self.deltas or means.journal is None or (key := self._key(prompt)) is None:
            return 0
        return paid.from_asked(means.journal.lookup(paid.asked_key(key)))

    def _note(self, means: Means, prompt: Prompt, times: int) -> Awaitable[None] | None:
        """Have the journal know that `prompt` was begun so often; return what to wait for."""
        if not self.deltas or means.journal is None or (key := self._key(prompt)) is None:
            return None
        kept = means.journal.record(paid.asked_key(key), paid.to_asked(times))
        return asyncio.wrap_future(kept)


def request_of(prompt: Prompt) -> dict[str, Any]:
    """Return the body in `prompt.request`; raises InvalidRequestError."""
    try:
        body = orjson.loads(prompt.request)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"the request is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("the request is not a JSON object")
    if refused := sorted(body.keys() & CALLER_ONLY):
        # Rows are foreign data: one could have our key sent to an address of its own.
        raise InvalidRequestError(f"a row may not set {', '.join(refused)}: only the job may")
    return body


def same_provider(wanted: str, ours: str) -> str:
    """Return the model that a row wants, if the provider is the job's: the key is the job's too."""
    theirs, mine = split_model(wanted)[0].name, split_model(ours)[0].name
    if theirs != mine:
        raise InvalidRequestError(
            f"a row may not choose provider {theirs!r}: the job's is {mine!r}"
        )
    return wanted


def to_delta(id: str, chunk: Chunk, before: int = 0) -> Delta:
    """Return `chunk` as an element; its attempt comes after so many others."""
    text, finish_reason = "", None
    for choice in chunk.get("choices") or ():
        if not choice.get("index"):
            text = (choice.get("delta") or {}).get("content") or ""
            finish_reason = choice.get("finish_reason")
    text = text if isinstance(text, str) else ""
    whole = orjson.dumps(chunk).decode()
    return Delta(id, before + chunk.attempt, chunk.seq or 0, text, finish_reason, whole)


def final_delta(
    prompt: Prompt, stream: AsyncStream, outcome: Mapping[str, Any], before: int
) -> Delta:
    """Return the delta that closes a whole attempt."""
    seq, attempt = stream.length, before + stream.attempt
    chunk = '{"object":"chat.completion.chunk","choices":[]}'
    closing = orjson.dumps(outcome).decode()
    return Delta(prompt.id, attempt, seq, "", None, chunk, True, closing, prompt.input)


def to_completion(
    id: str, completion: Mapping[str, Any], outcome: Mapping[str, Any], input: str | None
) -> Completion:
    """Return a whole answer as an element."""
    choices = completion.get("choices") or [{}]
    usage = completion.get("usage") or {}
    timing = outcome.get("timing") or {}
    gaps = timing.get("inter_chunk") or {}
    return Completion(
        id=id,
        text=text_of(completion),
        finish_reason=choices[0].get("finish_reason"),
        model=completion.get("model"),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        total_tokens=usage.get("total_tokens"),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        reasoning_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
        ttft=timing.get("ttft"),
        inter_chunk_p50=gaps.get("p50"),
        inter_chunk_p95=gaps.get("p95"),
        seconds=timing.get("total"),
        ended_at=outcome.get("ended_at"),
        attempts=outcome.get("attempts") or 1,
        replayed=bool(outcome.get("replayed")),
        completion=orjson.dumps(completion).decode(),
        input=input,
    )


def to_dead_letter(prompt: Prompt, error: RitellmError) -> DeadLetter:
    """Return `prompt` with what went wrong."""
    return DeadLetter(
        id=prompt.id,
        request=prompt.request,
        error_type=type(error).__name__,
        message=str(error),
        status_code=error.status_code,
        retryable=error.retryable,
        attempts=error.attempts,
        partial_text=text_of(error.partial or {}),
        input=prompt.input,
    )


def text_of(completion: Mapping[str, Any]) -> str:
    """Return the text of the first choice."""
    choices = completion.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else ""
