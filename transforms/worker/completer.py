"""Completes one prompt: streams its deltas, then returns a completion or a dead letter.

The path of a prompt, in the order of the code below:

1. replay: the journal may have the completion of an earlier run (`Completer.replay`);
2. single flight: with `dedupe`, an equal request in flight may supply it (`Completer.__call__`);
3. place, reserve, stream, settle, record (`Completer._complete`);
4. open the stream, with a second request if the first is late (`PromptRun._open_in_time`).

What a job does not use (journal, budget, hedging) is a null object in `Resources`, so the path has
no branches for missing parts. No Beam, no HTTP.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ritellm.answers.faults import Fault
from ritellm.chunks.run import Batch
from ritellm.chunks.submission import order_of
from ritellm.errors import ABOUT_VALUES, RitellmError
from ritellm.prices import PRICES, Price, cost
from ritellm.providers import address_in
from transforms.budget.waste import Waste
from transforms.elements import Completion, DeadLetter, Delta, Outcome, Prompt
from transforms.worker import in_flight
from transforms.worker import journal_entries as entries
from transforms.worker.event_loop import Put
from transforms.worker.outcomes import (
    closing_chunk,
    final_delta,
    to_completion,
    to_dead_letter,
    to_delta,
)
from transforms.worker.rate_limiter import wait_until_allowed
from transforms.worker.requests import PromptRequest, laid_over, request_of
from transforms.worker.resources import Resources
from transforms.worker.room import Place
from transforms.worker.row_faults import OF_A_ROW, UnforeseenError, of_row
from transforms.worker.single_flight import End, copy_for
from transforms.worker.stopping import STOPPED, RecordCount, StopWhen, stopped_completion
from transforms.worker.submissions import digest_of, new_submission, replayed

if TYPE_CHECKING:
    from ritellm import Answer, AsyncStream
    from ritellm.answers.watch import Watch
    from ritellm.calls.plan import Draft, Plan

# A provider that fails one attempt in ten must not cost one completion in a thousand.
_DEFAULTS: Mapping[str, Any] = {"on_interrupt": "restart", "num_retries": 5}

# Without deltas a stream is read at this interval, so one wake-up serves all chunks that have
# arrived. The first chunks are read sooner (`Call.pause`).
_WITHOUT_DELTAS: Mapping[str, Any] = {"buffer_msec": 100}


@dataclass(frozen=True)
class Completer:
    """Completes prompts with a model; `params` are arguments of `ritellm.completion` for each.

    `rate_limiter` is Beam's, for a limit that holds across workers; it may block. With `dedupe`
    equal requests share one completion, if the journal has it or it is in flight in this process.
    `prices` give a completion's `cost_usd`. With an `answer`, each completion has a valid one. With
    `stop_when`, a stream is left once it has enough records.
    """

    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    deltas: bool = True
    completions: bool = False
    rate_limiter: Any = None
    base_url: str | None = None  # where the client sends requests: part of a completion's key
    dedupe: bool = False
    prices: Mapping[str, Price] = field(default_factory=lambda: PRICES)
    answer: Answer | None = None
    stop_when: StopWhen | None = None

    @property
    def keyed_params(self) -> Mapping[str, Any]:
        """The parameters of all rows that are part of a completion's key."""
        if self.stop_when is not None:
            return {**self.params, "stop_when": self.stop_when.key}
        return self.params if self.answer is None else {**self.params, "answer": self.answer.key}

    @property
    def reads_chunks(self) -> bool:
        """Whether the chunks of a stream are of use, not only their sum."""
        return self.deltas or self.answer is not None or self.stop_when is not None

    def watch(self, stream: AsyncStream) -> Watch | None:
        """Return what finds out that the answer of `stream` cannot become valid."""
        if self.answer is None:
            return None
        from ritellm.answers.watch import Watch

        return Watch(self.answer, stream.answer_mode)

    def here(self, environ: Mapping[str, str]) -> Completer:
        """Return this completer for a process with `environ`, which may name the address."""
        return replace(self, base_url=self.base_url or address_in(environ, self.model))

    def request(self, resources: Resources, prompt: Prompt) -> PromptRequest:
        """Return the parsed request of `prompt`, and the key of its completion in the journal."""
        try:
            body = laid_over(self.params, request_of(prompt))
            key = resources.journal.key(self.model, self.base_url, self.keyed_params, prompt, body)
        except OF_A_ROW as error:
            return PromptRequest(prompt, {}, of_row(error))
        digest = digest_of(prompt.request, body) if self.deltas else ""
        earlier: list[Completion] | None = None if self.answer is None else []
        return PromptRequest(prompt, body, key=key, digest=digest, earlier=earlier)

    def replay(self, resources: Resources, request: PromptRequest) -> Iterator[Outcome]:
        """Yield the outcomes that the journal has for `request`, or nothing. May block."""
        find = resources.journal.completion if self.answer is None else self._replayed(resources)
        completion = find(request)
        if completion is None:
            return
        with suppress(*ABOUT_VALUES):  # a damaged entry counts as missing
            last = resources.journal.last_order(request) if self.deltas else 0
            yield from list(self.outcomes_of(request, completion, last))

    def _replayed(self, resources: Resources) -> Callable[[PromptRequest], End | None]:
        from transforms.worker.answers import replay

        return functools.partial(replay, self, resources)

    def submission(self, resources: Resources, request: PromptRequest) -> str:
        """Return the name of a new submission of `request`, "" without deltas. May block."""
        if not self.deltas:
            return ""
        return new_submission(request.digest, resources.journal.last_order(request))

    async def __call__(
        self, resources: Resources, request: PromptRequest, put: Put[Outcome], submission: str = ""
    ) -> list[Outcome]:
        """Put the deltas of `submission` of `request`, if wanted; return the outcomes at its end.

        No value of the request or of its answer raises: it ends in a dead letter
        (`transforms.worker.row_faults`).
        """
        started = time.time()
        try:
            return await self._outcomes(resources, request, put, submission)
        except OF_A_ROW as error:
            return [to_dead_letter(request.prompt, of_row(error), self.prices, started)]

    async def _outcomes(
        self, resources: Resources, request: PromptRequest, put: Put[Outcome], submission: str
    ) -> list[Outcome]:
        """Return the outcomes of `request`, its own or those of an equal request."""
        if self.answer is not None:
            from transforms.worker.answers import answered

            return await answered(self, resources, request, put, submission)
        ending = await self.ending(resources, request, put, submission)
        if ending.is_copy:
            return list(self.outcomes_of(request, ending.last))
        return ending.outcomes(completions=self.completions)

    async def ending(
        self, resources: Resources, request: PromptRequest, put: Put[Outcome], submission: str
    ) -> Ending:
        """Return the end of `request`, its own or that of an equal request."""
        if request.key is None or not self.dedupe:
            return await self._complete(resources, request, put, submission)
        sent: list[Ending] = []

        async def send() -> Completion | DeadLetter:
            sent.append(await self._complete(resources, request, put, submission))
            return sent[0].last

        # Look in the journal under the single flight: a completion that was just recorded counts.
        find = functools.partial(resources.journal.equal_completion, request)
        shared = await resources.single_flight.end(request.key.request, find, send)
        if shared is None:
            return sent[0]
        return Ending(None, copy_for(request.prompt, shared), is_copy=True)

    async def _complete(
        self, resources: Resources, request: PromptRequest, put: Put[Outcome], submission: str
    ) -> Ending:
        """Send `request`; return its final delta and completion, or its dead letter.

        It holds its place in the room until the journal has the completion.
        """
        async with resources.room.place() as place:
            waste = Waste(self.params, request.body, self.prices)
            run = PromptRun(self, resources, request, put, submission, place, waste)
            try:
                async with resources.budget.reserve(run.priced, waste) as bill:
                    stream = await run.stream()
                    spent = await bill.settled(run.usage(stream), stream.service_tier)
                ending = run.completed(stream)
            except OF_A_ROW as error:
                return run.failed(of_row(error))
            await resources.journal.record(request, ending.last, spent)
            return ending

    def outcomes_of(
        self, request: PromptRequest, end: Completion | DeadLetter, last: int = 0
    ) -> Iterator[Outcome]:
        """Yield the outcomes for `end`, which another request or an earlier run has reached.

        `last` is the order of the last submission that the journal knows.
        """
        if self.deltas and isinstance(end, Completion):
            submission = replayed(request.digest, end, last)
            end = end._replace(submission=submission)
            yield from entries.as_deltas(end, submission)
        if self.completions or isinstance(end, DeadLetter):
            yield end


class Ending(NamedTuple):
    """The end of a run: a completion or a dead letter, and the final delta if deltas are wanted.

    `is_copy` says that an equal request has reached it.
    """

    final_delta: Delta | None
    last: Completion | DeadLetter
    is_copy: bool = False

    def outcomes(self, *, completions: bool) -> list[Outcome]:
        """Return the outcomes that leave the transform; a completion only if wanted."""
        outcomes: list[Outcome] = [] if self.final_delta is None else [self.final_delta]
        if completions or type(self.last) is DeadLetter:
            outcomes.append(self.last)
        return outcomes


# Why a stream was left that had enough records.
ENOUGH = Fault("$", STOPPED, "the stream had enough records")


class OpenStream(NamedTuple):
    """A stream whose response has begun, and its first chunks."""

    stream: AsyncStream
    first: Batch


@dataclass(slots=True)
class PromptRun:
    """One run of one prompt: its place in the room, its waste, and the requests sent for it.

    A late request is sent a second time (hedging): both use the place and the waste of the run.
    """

    completer: Completer
    resources: Resources
    request: PromptRequest
    put: Put[Outcome]
    submission: str
    place: Place
    waste: Waste
    started: float = field(default_factory=time.time)
    requests: int = 0
    answer: AsyncStream | None = None  # the stream that is read
    stopped: Fault | None = None  # why the stream was left before its end
    newest: AsyncStream | None = None  # the stream that was opened last, for viewers

    def priced(self) -> tuple[str, Mapping[str, Any]]:
        """Return the model and the parameters that set the price; raises InvalidRequestError."""
        completer, request = self.completer, self.request
        body = {**completer.params, **request.body}
        if completer.answer is not None:
            body["response_format"] = completer.answer.json  # its schema is sent, too
        return request.model(completer.model), body

    async def stream(self) -> AsyncStream:
        """Read the stream to its end and return it; put its deltas, if wanted."""
        journal, deltas = self.resources.journal, self.completer.deltas
        noted = journal.note_order(self.request, order_of(self.submission)) if deltas else None
        number = in_flight.enter(self)
        try:
            opened = await self._open_in_time()
            self.answer = opened.stream
            async with opened.stream as stream:
                if noted is not None:
                    # Awaited only now: the journal writes while the provider computes.
                    await entries.durable(noted)
                if self.completer.reads_chunks:
                    await self._read(opened)
        except RitellmError as error:
            self.waste.add(error.discarded)
            raise
        finally:
            in_flight.leave(number)
        self.waste.add(stream.discarded)
        return stream

    async def give_up(self, lost: OpenStream | BaseException) -> None:
        """Close the stream of a request that lost against another one; count it as waste."""
        if isinstance(lost, OpenStream):
            self.place.leave()
            self.waste.lose(lost.stream.as_discarded())
            await lost.stream.aclose()
        else:
            self.waste.lose_error(lost)

    def failed(self, error: RitellmError) -> Ending:
        """Return the ending of a run that raised `error`."""
        if error.partial is None and isinstance(error, UnforeseenError) and self.answer:
            error.partial = self.answer.completion  # it is paid for
        letter = to_dead_letter(self.request.prompt, error, self.completer.prices, self.started)
        return Ending(None, letter._replace(**self.waste.columns._asdict()))

    def completed(self, stream: AsyncStream) -> Ending:
        """Return the ending of a run whose `stream` is complete."""
        prompt, prices = self.request.prompt, self.completer.prices
        outcome = {
            "attempts": stream.attempts,
            "ended_at": time.time(),
            "timing": stream.timing.as_dict(),
            "cost_usd": cost(stream.model, self.usage(stream), prices, stream.service_tier),
            **self.waste.columns._asdict(),
        }
        whole = self._whole(stream)
        completion = to_completion(prompt.id, whole, outcome, prompt.input)
        completion = completion._replace(place=prompt.place)
        if not self.completer.deltas:
            return Ending(None, completion)
        final = final_delta(prompt, stream, outcome, self.submission)
        if self.stopped is ENOUGH:
            final = final._replace(chunk=closing_chunk(whole))
        return Ending(final, completion._replace(submission=self.submission))

    def usage(self, stream: AsyncStream) -> Mapping[str, Any] | None:
        """Return the tokens of `stream`, estimated if it was left before its end."""
        return stream.usage if self.stopped is None else self._whole(stream)["usage"]

    def _whole(self, stream: AsyncStream) -> Mapping[str, Any]:
        """Return the completion of `stream`, which may have been left before its end."""
        if self.completer.answer is not None:
            return self._with_answer(stream)
        if self.stopped is None:
            return stream.completion
        left = stopped_completion(stream.completion, self.priced()[1])
        return {**left, "choices": [{**c, "finish_reason": STOPPED} for c in left["choices"]]}

    def _with_answer(self, stream: AsyncStream) -> Mapping[str, Any]:
        """Return the completion with what is known of its answer."""
        mode = stream.answer_mode
        if self.stopped is None:
            return {"answer": {"mode": mode}, **stream.completion}
        completion = stopped_completion(stream.completion, self.priced()[1])
        return {"answer": {"mode": mode, "stopped": [*self.stopped]}, **completion}

    async def _read(self, opened: OpenStream) -> None:
        """Put the deltas, if wanted; leave the stream early if the rest of it is of no use."""
        id, submission, deltas = self.request.prompt.id, self.submission, self.completer.deltas
        watch, stop_when = self.completer.watch(opened.stream), self.completer.stop_when
        count = None if stop_when is None else RecordCount(stop_when)
        chunks = opened.first
        while chunks:
            if deltas:
                await self.put([to_delta(id, chunk, submission) for chunk in chunks])
            if watch is not None and (fault := watch.fault(chunks)) is not None:
                if not opened.stream.has_ended:
                    self.stopped = fault
                    return
                watch = None  # the provider has made the whole answer: its counts are about to come
            if count is not None and count.is_enough(chunks):
                if not opened.stream.has_ended:
                    self.stopped = ENOUGH
                    opened.stream.timing.ended = opened.stream.timing.last_chunk
                    return
                count = None
            chunks = await opened.stream.batch()

    async def _open_in_time(self) -> OpenStream:
        """Return the first stream that opens; the hedge may send a late request again."""
        resources = self.resources
        plan = resources.drafts.plan(self.request, self.completer.model, self._draft)
        return await resources.hedge.first(
            lambda: resources.gate.calm, lambda: self._open(plan), self.give_up
        )

    async def _open(self, plan: Plan) -> OpenStream:
        """Send one more request; return its stream, read to its end if no deltas are wanted."""
        self.requests += 1
        if self.requests == 1:  # the run has entered the place for it
            return await self._first_chunks(plan)
        await self.place.enter()
        try:
            return await self._first_chunks(plan)
        except BaseException:
            self.place.leave()
            raise

    async def _first_chunks(self, plan: Plan) -> OpenStream:
        completer, resources = self.completer, self.resources
        if completer.rate_limiter is not None:
            await wait_until_allowed(completer.rate_limiter, resources.gate)
        client, place = resources.client, self.place
        stream = client.stream(plan, emit_chunks=completer.reads_chunks, between=place.vacated)
        self.newest = stream
        try:
            await stream.open()
            return OpenStream(stream, await stream.batch())
        except BaseException as error:
            # An error carries its discarded attempts; a cancelled request does not.
            if not isinstance(error, RitellmError):
                self.waste.lose(stream.as_discarded())
            await stream.aclose()
            raise

    def _draft(self, model: str, **own: Any) -> Draft:
        completer = self.completer
        pace = {} if completer.deltas else _WITHOUT_DELTAS
        arguments = {**_DEFAULTS, **pace, **completer.params, **own}
        if completer.answer is not None:
            arguments["answer"] = completer.answer
        return self.resources.client.draft(model, stream=True, **arguments)
