"""One prompt, asked: a stream of deltas, then a completion or a dead letter. No Beam, no HTTP."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ritellm.chunks.run import Batch
from ritellm.errors import InvalidRequestError, RateLimitError, RitellmError
from ritellm.prices import PRICES, Price, cost
from ritellm.providers import address_in
from transforms.budget.bill import budgeted
from transforms.budget.waste import Waste
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.worker import journal_entries as entries
from transforms.worker.event_loop import Put
from transforms.worker.hedging import hedged
from transforms.worker.inbox import Inbox
from transforms.worker.outcomes import final_delta, to_completion, to_dead_letter, to_delta
from transforms.worker.requests import Question, laid_over, request_of
from transforms.worker.resources import Means
from transforms.worker.room import Place
from transforms.worker.single_flight import copy_for

if TYPE_CHECKING:
    from ritellm import AsyncClient, AsyncStream
    from ritellm.calls.plan import Draft, Plan
    from transforms.journal.base import Spent

Outcome = Delta | Completion | DeadLetter

# One answer in a thousand must not be lost to a provider that fails one attempt in ten.
_DEFAULTS: Mapping[str, Any] = {"on_interrupt": "restart", "num_retries": 5}

# Where nobody watches the deltas, a stream is read now and then: a wake-up each, not a wake-up
# for every chunk. A short answer is read sooner (`Call.pause`).
_UNWATCHED: Mapping[str, Any] = {"buffer_msec": 100}

# What a rate limiter takes for its answer is no waiting: its limits are by the second and longer.
_A_MOMENT = 1.0


class Begun(NamedTuple):
    """An answer under way, and its first chunks."""

    stream: AsyncStream
    first: Batch


class Row(NamedTuple):
    """What a prompt takes: a place while it is in flight, and what it cost in vain."""

    place: Place
    waste: Waste

    async def give_up(self, lost: Begun | BaseException) -> None:
        """Count what was lost against another response; a stream is closed."""
        if isinstance(lost, Begun):
            self.place.leave()
            self.waste.lose(lost.stream.as_discarded())
            await lost.stream.aclose()
        else:
            self.waste.lose_error(lost)


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
        self, means: Means, question: Question, put: Put[Outcome], asked: int = 0
    ) -> list[Outcome]:
        """Put the deltas of `question`, if wanted; return how it ends, as far as that is wanted.

        After `asked` askings that came to nothing, the attempts have numbers that those had not.
        """
        key, answered = question.key, list[Outcome]()
        if key is None or not self.dedupe:
            return self._wanted(await self._answered(means, question, put, asked))

        async def ask() -> Completion | DeadLetter:
            answered.extend(await self._answered(means, question, put, asked))
            return _end_of(answered)

        find = functools.partial(self._find_equal, means, question.prompt, key.request)
        end = await means.sharing.end(key.request, find, ask)
        if end is None:
            return self._wanted(answered)
        return list(self._all_of(copy_for(question.prompt, end), asked))

    async def _answered(
        self, means: Means, question: Question, put: Put[Outcome], asked: int
    ) -> list[Outcome]:
        """Return how asking ends: a final delta and a completion, or a dead letter.

        It holds its place until the journal has it.
        """
        async with means.room.place() as place:
            started, waste = time.time(), Waste(self.params, question.body, self.prices)
            try:
                stream, spent = await self._asked(means, question, put, asked, Row(place, waste))
            except RitellmError as error:
                letter = to_dead_letter(question.prompt, error, self.prices, started)
                return [letter._replace(**waste.columns._asdict())]
            ending = self._ending(question.prompt, stream, asked * entries.ATTEMPTS, waste)
            await self._keep(means, question, ending[-1], spent)
            return ending

    async def _asked(
        self, means: Means, question: Question, put: Put[Outcome], asked: int, row: Row
    ) -> tuple[AsyncStream, Spent | None]:
        """Return the stream, read to its end, and what it was settled for under a budget."""
        if means.ledger is None:
            return await self._streamed(means, question, put, asked, row), None
        model, request = question.model(self.model), {**self.params, **question.body}
        async with budgeted(means.ledger, means.journal, model, request, row.waste) as bill:
            stream = await self._streamed(means, question, put, asked, row)
            return stream, await bill.settled(stream.usage, stream.service_tier)

    async def _streamed(
        self, means: Means, question: Question, put: Put[Outcome], asked: int, row: Row
    ) -> AsyncStream:
        """Return the stream once its end was read; its deltas are put, if wanted."""
        id, before = question.prompt.id, asked * entries.ATTEMPTS
        noted = self._note(means, question, asked + 1)
        try:
            begun = await self._begin_in_time(means, question, row)
            async with begun.stream as stream:
                if self.deltas:
                    if noted is not None:
                        await _durable(noted)
                    chunks = begun.first
                    while chunks:
                        await put([to_delta(id, chunk, before) for chunk in chunks])
                        chunks = await stream.batch()
        except RitellmError as error:
            row.waste.add(error.discarded)
            raise
        row.waste.add(stream.discarded)
        return stream

    async def _begin_in_time(self, means: Means, question: Question, row: Row) -> Begun:
        """Return the answer once it is under way; a late one may be asked for a second time."""
        plan = means.drafts.plan(question, self.model, functools.partial(self._draft, means.client))
        if means.hedge is None:
            return await self._begin(means, plan, row)
        return await hedged(
            means.hedge,
            lambda: means.gate is None or means.gate.calm,
            self._beginnings(means, plan, row),
            row.give_up,
        )

    def _draft(self, client: AsyncClient, model: str, **own: Any) -> Draft:
        pace = {} if self.deltas else _UNWATCHED
        return client.draft(model, stream=True, **{**_DEFAULTS, **pace, **self.params, **own})

    def _beginnings(self, means: Means, plan: Plan, row: Row) -> Callable[[], Awaitable[Begun]]:
        """Return what begins one request after the other; the first has the row's place."""
        begin = iter((self._begin,))
        return lambda: next(begin, self._begin_once_more)(means, plan, row)

    async def _begin_once_more(self, means: Means, plan: Plan, row: Row) -> Begun:
        """Do what `_begin` does, for one more request of the same prompt."""
        await row.place.enter()
        try:
            return await self._begin(means, plan, row)
        except BaseException:
            row.place.leave()
            raise

    async def _begin(self, means: Means, plan: Plan, row: Row) -> Begun:
        """Return the answer with its first chunks; if nobody wants deltas, read to its end."""
        if self.rate_limiter is not None:
            await self._allowed(means)
        stream = means.client.stream(plan, emit_chunks=self.deltas, between=row.place.vacated)
        try:
            await stream.open()
            return Begun(stream, await stream.batch())
        except BaseException as error:
            if not isinstance(error, RitellmError):  # a hedge that lost; errors tell for themselves
                row.waste.lose(stream.as_discarded())
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

    async def _keep(
        self, means: Means, question: Question, completion: Outcome, spent: Spent | None
    ) -> None:
        """Return once the journal has `completion` for good: only then may its row go on."""
        if question.key is None or means.journal is None or not isinstance(completion, Completion):
            return
        value, spent = entries.to_value(completion), spent or entries.spent_on(completion)
        await _durable(means.journal.record(question.key, value, spent))

    async def _find_equal(self, means: Means, prompt: Prompt, request: str) -> Completion | None:
        """Return the answer that the journal has to an equal request."""
        assert means.journal is not None
        value = await asyncio.to_thread(means.journal.lookup_equal, request)
        return None if value is None else entries.from_value(value, prompt)

    def _ending(
        self, prompt: Prompt, stream: AsyncStream, before: int, waste: Waste
    ) -> list[Outcome]:
        """Return the final delta, if deltas are wanted, and last the completion."""
        outcome = {
            "attempts": stream.attempts,
            "ended_at": time.time(),
            "timing": stream.timing.as_dict(),
            "cost_usd": cost(stream.model, stream.usage, self.prices, stream.service_tier),
            **waste.columns._asdict(),
        }
        whole = to_completion(prompt.id, stream.completion, outcome, prompt.input)
        completion = whole._replace(place=prompt.place)
        if not self.deltas:
            return [completion]
        return [final_delta(prompt, stream, outcome, before), completion]

    def question(self, means: Means, prompt: Prompt) -> Question:
        """Return `prompt` as it was read: what it asks, and where its answer is kept."""
        try:
            body = laid_over(self.params, request_of(prompt))
        except InvalidRequestError as refusal:
            return Question(prompt, {}, refusal)
        if means.journal is None:
            return Question(prompt, body)
        name = prompt.key or prompt.id
        return Question(
            prompt, body, key=entries.key_of(self.model, self.base_url, self.params, name, body)
        )

    def again(self, means: Means, question: Question) -> Iterator[Outcome]:
        """Yield what the journal has of it: nothing, or all that asking it had brought."""
        if means.journal is None or question.key is None:
            return
        value = means.journal.lookup(question.key)
        completion = entries.from_value(value, question.prompt) if value is not None else None
        if completion is not None:
            yield from self._all_of(completion, self.times_asked(means, question))

    def _wanted(self, ending: list[Outcome]) -> list[Outcome]:
        """Return `ending` without the completion, where nobody wants one."""
        return ending if self.completions or type(ending[-1]) is DeadLetter else ending[:-1]

    def _all_of(self, end: Completion | DeadLetter, asked: int) -> Iterator[Outcome]:
        """Yield all that asking had brought, after `asked` askings that came to nothing."""
        if self.deltas and isinstance(end, Completion):
            yield from entries.as_deltas(end, asked)
        if self.completions or isinstance(end, DeadLetter):
            yield end

    def times_asked(self, means: Means, question: Question) -> int:
        """Return how often it was begun before, where its deltas may have been seen."""
        if not self.deltas or means.journal is None or question.key is None:
            return 0
        return entries.from_asked(means.journal.lookup(entries.asked_key(question.key)))

    def _note(self, means: Means, question: Question, times: int) -> Future[None] | None:
        """Have the journal know that it was begun so often; return what to wait for."""
        if not self.deltas or means.journal is None or question.key is None:
            return None
        return means.journal.record(entries.asked_key(question.key), entries.to_asked(times))


def _end_of(ending: list[Outcome]) -> Completion | DeadLetter:
    assert not isinstance(ending[-1], Delta), "what ends an answer comes last"
    return ending[-1]


async def _durable(kept: Future[None]) -> None:
    """Return once the journal has what it was given."""
    await Inbox.of(asyncio.get_running_loop()).result(kept)
