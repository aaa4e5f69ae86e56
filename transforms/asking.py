"""One prompt, asked: a stream of deltas, then a completion or a dead letter. No Beam, no HTTP."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
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
from transforms.outcomes import final_delta, to_completion, to_dead_letter, to_delta
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

# What a rate limiter takes for its answer is no waiting: its limits are by the second and longer.
_A_MOMENT = 1.0


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

    async def __call__(
        self, means: Means, prompt: Prompt, put: Put[Outcome], asked: int = 0
    ) -> None:
        """Put all that comes of `prompt`: deltas and a completion as wanted, or a dead letter.

        After `asked` askings that came to nothing, the attempts have numbers that those had not.
        """
        key = self._key(prompt) if self.dedupe and means.journal is not None else None
        if key is None:
            await self._answered(means, prompt, put, asked)
            return
        find = functools.partial(self._find_equal, means, prompt, key.request)
        ask = functools.partial(self._answered, means, prompt, put, asked)
        end = await means.sharing.end(key.request, find, ask)
        if end is not None:
            await put(list(self._all_of(copy_for(prompt, end), asked)))

    async def _answered(
        self, means: Means, prompt: Prompt, put: Put[Outcome], asked: int
    ) -> Completion | DeadLetter:
        """Put all that comes of asking `prompt`; return how it ended."""
        started = time.time()
        try:
            async with self._budgeted(means, prompt) as bill:
                ending = await self._asked(means, prompt, put, bill, asked)
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
        self, means: Means, prompt: Prompt, put: Put[Outcome], bill: Bill | None, asked: int
    ) -> list[Outcome]:
        """Return what closes the answer, once all before it is put and the journal has it."""
        before = asked * paid.ATTEMPTS
        noted = self._note(means, prompt, asked + 1)
        begun = await self._begin_in_time(means, prompt)
        async with begun.stream as stream:
            if self.deltas:
                if noted is not None:
                    await _durable(noted)
                await put([to_delta(prompt.id, chunk, before) for chunk in begun.first])
                async for chunks in begun.rest:
                    await put([to_delta(prompt.id, chunk, before) for chunk in chunks])
        ending = self._ending(prompt, stream, before)
        spent = None if bill is None else await bill.settled(stream.usage)
        await self._keep(means, prompt, ending[-1], spent)
        return ending

    async def _begin_in_time(self, means: Means, prompt: Prompt) -> Begun:
        """Return the answer once it is under way; a late one may be asked for a second time."""
        if means.hedge is None:
            return await self._begin(means, prompt)
        return await hedged(
            means.hedge,
            lambda: means.gate is None or means.gate.calm,
            lambda: self._begin(means, prompt),
            _give_up,
        )

    async def _begin(self, means: Means, prompt: Prompt) -> Begun:
        """Return the answer with its first chunks; if nobody wants deltas, read to its end."""
        if self.rate_limiter is not None:
            await self._allowed(means)
        stream = await self._open(means.client, prompt)
        try:
            batches = stream.batches()
            if not self.deltas:
                await stream.read()
                return Begun(stream, [], batches)
            return Begun(stream, await batches.__anext__(), batches)
        except BaseException:
            await stream.aclose()
            raise

    async def _allowed(self, means: Means) -> None:
        """Return once the limiter allows a request; raises RateLimitError if it will not."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        if not await asyncio.to_thread(self.rate_limiter.allow):
            raise RateLimitError("the job's own rate limiter refused the request")
        waited = loop.time() - started
        if means.gate is not None and waited > _A_MOMENT:
            means.gate.held_back += waited

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
            await _durable(means.journal.record(key, value, spent))

    async def _find_equal(self, means: Means, prompt: Prompt, request: str) -> Completion | None:
        """Return the answer that the journal has to an equal request."""
        assert means.journal is not None
        value = await asyncio.to_thread(means.journal.lookup_equal, request)
        return None if value is None else paid.from_value(value, prompt)

    def _key(self, prompt: Prompt) -> JournalKey | None:
        return paid.key_of(self.model, self.base_url, self.params, prompt)

    def _ending(self, prompt: Prompt, stream: AsyncStream, before: int) -> list[Outcome]:
        """Return the final delta, if deltas are wanted, and last the completion."""
        outcome = {
            "attempts": stream.attempts,
            "ended_at": time.time(),
            "timing": stream.timing.as_dict(),
            "cost_usd": cost(stream.model, stream.usage, self.prices),
        }
        whole = to_completion(prompt.id, stream.completion, outcome, prompt.input)
        completion = whole._replace(place=prompt.place)
        if not self.deltas:
            return [completion]
        return [final_delta(prompt, stream, outcome, before), completion]

    def again(self, means: Means, prompt: Prompt) -> Iterator[Outcome]:
        """Yield what the journal has of `prompt`: nothing, or all that asking it had brought."""
        if means.journal is None or (key := self._key(prompt)) is None:
            return
        value = means.journal.lookup(key)
        completion = paid.from_value(value, prompt) if value is not None else None
        if completion is not None:
            yield from self._all_of(completion, self.times_asked(means, prompt))

    def _all_of(self, end: Completion | DeadLetter, asked: int) -> Iterator[Outcome]:
        """Yield all that asking had brought, after `asked` askings that came to nothing."""
        if self.deltas and isinstance(end, Completion):
            yield from paid.as_deltas(end, asked)
        if self.completions or isinstance(end, DeadLetter):
            yield end

    def times_asked(self, means: Means, prompt: Prompt) -> int:
        """Return how often `prompt` was begun before, where its deltas may have been seen."""
        if not self.deltas or means.journal is None or (key := self._key(prompt)) is None:
            return 0
        return paid.from_asked(means.journal.lookup(paid.asked_key(key)))

    def _note(self, means: Means, prompt: Prompt, times: int) -> Future[None] | None:
        """Have the journal know that `prompt` was begun so often; return what to wait for."""
        if not self.deltas or means.journal is None or (key := self._key(prompt)) is None:
            return None
        return means.journal.record(paid.asked_key(key), paid.to_asked(times))


async def _durable(kept: Future[None]) -> None:
    """Return once the journal has what it was given."""
    await Inbox.of(asyncio.get_running_loop()).result(kept)


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
