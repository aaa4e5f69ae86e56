"""One prompt, asked: a stream of deltas, then a completion or a dead letter. No Beam, no HTTP."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ritellm.errors import InvalidRequestError, RateLimitError, RitellmError
from ritellm.prepare import CALLER_ONLY
from ritellm.prices import PRICES, Price, cost
from ritellm.providers import address_in, split_model
from ritellm.types import Chunk
from transforms import paid
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.engine import Put
from transforms.hedging import Hedge, hedged
from transforms.inbox import Inbox
from transforms.sharing import Sharing, copy_for
from transforms.spending import Bill, budgeted

if TYPE_CHECKING:
    from ritellm import AsyncClient, AsyncStream
    from ritellm.gate import Gate
    from transforms.journal import Journal, JournalKey
    from transforms.journal.base import Spent
    from transforms.ledger import Ledger

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
    ledger: Ledger | None = None
    sharing: Sharing = field(default_factory=Sharing)


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

    `rate_limiter` is Beam's, for a limit that holds across workers; it may block. With `dedupe`
    equal requests share one answer, as far as the journal has it or it is under way here. `prices`
    are what a completion's `cost_usd` is reckoned by.
    """

    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    deltas: bool = True
    completions: bool = False
    rate_limiter: Any = None
    base_url: str | None = None  # where the client asks: part of what an answer is kept under
    dedupe: bool = False
    prices: Mapping[str, Price] = field(default_factory=lambda: PRICES)

    def here(self, environ: Mapping[str, str]) -> Ask:
        """Return this ask as it is in a process with `environ`, which may name the address."""
        return replace(self, base_url=self.base_url or address_in(environ, self.model))

    async def __call__(self, means: Means, prompt: Prompt, put: Put[Outcome]) -> None:
        """Put all that comes of `prompt`: deltas and a completion as wanted, or a dead letter."""
        key = self._key(prompt) if self.dedupe and means.journal is not None else None
        if key is None:
            await self._answered(means, prompt, put)
            return
        find = functools.partial(self._find_equal, means, prompt, key.request)
        ask = functools.partial(self._answered, means, prompt, put)
        end = await means.sharing.end(key.request, find, ask)
        if end is not None:
            await put(list(self._all_of(copy_for(prompt, end))))

    async def _answered(
        self, means: Means, prompt: Prompt, put: Put[Outcome]
    ) -> Completion | DeadLetter:
        """Put all that comes of asking `prompt`; return how it ended."""
        started = time.time()
        try:
            async with self._budgeted(means, prompt) as bill:
                ending = await self._asked(means, prompt, put, bill)
            await put(ending if self.completions else ending[:-1])
            end = ending[-1]
            assert isinstance(end, Completion)
            return end
        except RitellmError as error:
            letter = to_dead_letter(prompt, error, self.prices, started)
            await put([letter])
            return letter

    def _budgeted(self, means: Means, prompt: Prompt) -> AbstractAsyncContextManager[Bill | None]:
        if means.ledger is None:
            return nullcontext()
        body = request_of(prompt)
        model = same_provider(body.get("model") or self.model, self.model)
        return budgeted(means.ledger, means.journal, model, {**self.params, **body})

    async def _asked(
        self, means: Means, prompt: Prompt, put: Put[Outcome], bill: Bill | None
    ) -> list[Outcome]:
        """Return what closes the answer, once all before it is put and the journal has it."""
        begun = await self._begin_in_time(means, prompt)
        async with begun.stream as stream:
            if self.deltas:
                await put([to_delta(prompt.id, chunk) for chunk in begun.first])
                async for chunks in begun.rest:
                    await put([to_delta(prompt.id, chunk) for chunk in chunks])
        ending = self._ending(prompt, stream)
        spent = None if bill is None else await bill.settled(stream.usage)
        await self._keep(means, prompt, ending[-1], spent)
        return ending

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
            if not self.deltas:
                await stream.read()
                return Begun(stream, [], batches)
            return Begun(stream, await batches.__anext__(), batches)
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

    async def _keep(
        self, means: Means, prompt: Prompt, completion: Outcome, spent: Spent | None
    ) -> None:
        """Return once the journal has `completion` for good: only then may its row go on."""
        if means.journal is None or not isinstance(completion, Completion):
            return
        if (key := self._key(prompt)) is not None:
            value, spent = paid.to_value(completion), spent or paid.spent_on(completion)
            inbox = Inbox.of(asyncio.get_running_loop())
            await inbox.result(means.journal.record(key, value, spent))

    async def _find_equal(self, means: Means, prompt: Prompt, request: str) -> Completion | None:
        """Return the answer that the journal has to an equal request."""
        assert means.journal is not None
        value = await asyncio.to_thread(means.journal.lookup_equal, request)
        return None if value is None else paid.from_value(value, prompt)

    def _key(self, prompt: Prompt) -> JournalKey | None:
        return paid.key_of(self.model, self.base_url, self.params, prompt)

    def _ending(self, prompt: Prompt, stream: AsyncStream) -> list[Outcome]:
        """Return the final delta, if deltas are wanted, and last the completion."""
        outcome = {
            "attempts": stream.attempts,
            "ended_at": time.time(),
            "timing": stream.timing.as_dict(),
            "cost_usd": cost(stream.model, stream.usage, self.prices),
        }
        whole = to_completion(prompt.id, stream.completion, outcome, prompt.input)
        completion = whole._replace(place=prompt.place)
        return [final_delta(prompt, stream, outcome), completion] if self.deltas else [completion]

    def again(self, means: Means, prompt: Prompt) -> Iterator[Outcome]:
        """Yield what the journal has of `prompt`: nothing, or all that asking it had brought."""
        if means.journal is None or (key := self._key(prompt)) is None:
            return
        value = means.journal.lookup(key)
        completion = paid.from_value(value, prompt) if value is not None else None
        if completion is not None:
            yield from self._all_of(completion)

    def _all_of(self, end: Completion | DeadLetter) -> Iterator[Outcome]:
        """Yield all that asking had brought."""
        if self.deltas and isinstance(end, Completion):
            yield from paid.as_deltas(end)
        if self.completions or isinstance(end, DeadLetter):
            yield end


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


def to_delta(id: str, chunk: Chunk) -> Delta:
    """Return `chunk` as an element."""
    text, finish_reason = "", None
    for choice in chunk.get("choices") or ():
        if not choice.get("index"):
            text = (choice.get("delta") or {}).get("content") or ""
            finish_reason = choice.get("finish_reason")
    text = text if isinstance(text, str) else ""
    return Delta(
        id, chunk.attempt, chunk.seq or 0, text, finish_reason, orjson.dumps(chunk).decode()
    )


def final_delta(prompt: Prompt, stream: AsyncStream, outcome: Mapping[str, Any]) -> Delta:
    """Return the delta that closes a whole attempt."""
    seq, attempt = stream.length, stream.attempt
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
        shared=bool(outcome.get("shared")),
        cost_usd=outcome.get("cost_usd"),
        completion=orjson.dumps(completion).decode(),
        input=input,
    )


def to_dead_letter(
    prompt: Prompt, error: RitellmError, prices: Mapping[str, Price], started: float
) -> DeadLetter:
    """Return `prompt`, tried since `started` (seconds since 1970), with what went wrong."""
    usage = error.partial.get("usage") if error.partial else None
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
        partial_text=text_of(error.partial or {}),
        input=prompt.input,
        usage=orjson.dumps(usage).decode() if usage else None,
        cost_usd=cost(model, usage, prices),
        seconds=now - started,
        ended_at=now,
        place=prompt.place,
    )


def text_of(completion: Mapping[str, Any]) -> str:
    """Return the text of the first choice."""
    choices = completion.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else ""
