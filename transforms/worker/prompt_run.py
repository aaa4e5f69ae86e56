"""One run of one prompt: opens its stream, with a second request if the first is late; reads it.

A stream is left before its end once the rest is of no use: its answer cannot become valid
(`ritellm.answers.watch`), it has enough records, or a reader has stopped it
(`transforms.worker.stops.stop_requests`). Its usage is then estimated.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ritellm.answers.faults import Fault
from ritellm.calls.stream_facts import StreamFacts
from ritellm.chunks.run import Batch
from ritellm.chunks.stopped import stopped_completion
from ritellm.chunks.submission import order_of
from ritellm.errors import RitellmError
from ritellm.prices import cost
from transforms.budget.waste import Waste
from transforms.elements import Completion, DeadLetter, Delta, Outcome
from transforms.worker.capacity import in_flight
from transforms.worker.capacity.rate_limiter import wait_until_allowed
from transforms.worker.capacity.room import Place
from transforms.worker.loop.event_loop import Put
from transforms.worker.options import CompleterOptions
from transforms.worker.outcomes import (
    closing_chunk,
    final_delta,
    to_completion,
    to_dead_letter,
    to_delta,
)
from transforms.worker.recorded import entries
from transforms.worker.requests import PromptRequest
from transforms.worker.resources import Resources
from transforms.worker.row_faults import UnforeseenError
from transforms.worker.stops.stop_conditions import BY_READER, ENOUGH, STOPPED, RecordCount
from transforms.worker.stops.stop_requests import EMPTY_CHOICE, Halt, Unsent

if TYPE_CHECKING:
    from ritellm import AsyncStream
    from ritellm.calls.plan import Draft, Plan

# A provider that fails one attempt in ten must not cost one completion in a thousand.
_DEFAULTS: Mapping[str, Any] = {"on_interrupt": "restart", "num_retries": 5}

# Without deltas a stream is read at this interval, so one wake-up serves all chunks that have
# arrived. The first chunks are read sooner (`Call.pause`).
_WITHOUT_DELTAS: Mapping[str, Any] = {"buffer_msec": 100}


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


class OpenStream(NamedTuple):
    """A stream whose response has begun, and its first chunks."""

    stream: AsyncStream
    first: Batch


@dataclass(slots=True)
class PromptRun:
    """One run of one prompt: its place in the room, its waste, and the requests sent for it.

    A late request is sent a second time (hedging): both use the place and the waste of the run.
    """

    options: CompleterOptions
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
    halt: Halt | None = None  # ends the run when a reader asks for it

    def priced(self) -> tuple[str, Mapping[str, Any]]:
        """Return the model and the parameters that set the price; raises InvalidRequestError."""
        options, request = self.options, self.request
        body = {**options.params, **request.body}
        if options.answer is not None:
            body["response_format"] = options.answer.json  # its schema is sent, too
        return request.model(options.model), body

    async def stream(self) -> StreamFacts:
        """Read the stream to its end and return it; put its deltas, if wanted."""
        requests = self.options.stop_requests
        if requests is None:
            return await self._stream()
        id = self.request.prompt.id
        self.halt = requests.enter(id)
        try:
            return await self._stream()
        finally:
            requests.leave(id, self.halt)

    async def _stream(self) -> StreamFacts:
        journal, deltas = self.resources.journal, self.options.deltas
        noted = journal.note_order(self.request, order_of(self.submission)) if deltas else None
        number = in_flight.enter(self)
        try:
            opened = await self._opened()
            if opened is None:
                return self._stopped_early()
            self.answer = opened.stream
            async with opened.stream as stream:
                if noted is not None:
                    # Awaited only now: the journal writes while the provider computes.
                    await entries.durable(noted)
                if self.options.reads_chunks:
                    await self._read(opened)
        except RitellmError as error:
            self.waste.add(error.discarded)
            raise
        finally:
            in_flight.leave(number)
        self.waste.add(stream.discarded)
        return stream

    async def _opened(self) -> OpenStream | None:
        """Return the open stream, None if a reader has stopped the run before."""
        if self.halt is None:
            return await self._open_in_time()
        return await self.halt.result(self._open_in_time())

    def _stopped_early(self) -> StreamFacts:
        """Return what is known of a run that was stopped before its stream has opened."""
        self.stopped = BY_READER
        if self.newest is not None and self.newest.attempts:
            return self.newest
        return Unsent(self.request.model(self.options.model))

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
        letter = to_dead_letter(self.request.prompt, error, self.options.prices, self.started)
        return Ending(None, letter._replace(**self.waste.columns._asdict()))

    def completed(self, stream: StreamFacts) -> Ending:
        """Return the ending of a run whose `stream` is complete."""
        prompt, prices = self.request.prompt, self.options.prices
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
        if not self.options.deltas:
            return Ending(None, completion)
        final = final_delta(prompt, stream, outcome, self.submission)
        if self.stopped is ENOUGH or self.stopped is BY_READER:
            final = final._replace(chunk=closing_chunk(whole))
        return Ending(final, completion._replace(submission=self.submission))

    def usage(self, stream: StreamFacts) -> Mapping[str, Any] | None:
        """Return the tokens of `stream`, estimated if it was left before its end."""
        return stream.usage if self.stopped is None else self._whole(stream)["usage"]

    def _whole(self, stream: StreamFacts) -> Mapping[str, Any]:
        """Return the completion of `stream`, which may have been left before its end."""
        if self.options.answer is not None:
            return self._with_answer(stream)
        return stream.completion if self.stopped is None else self._left(stream)

    def _left(self, stream: StreamFacts) -> Mapping[str, Any]:
        """Return the completion of a `stream` that was left before its end."""
        if stream.attempts == 0:
            return stream.completion  # nothing was sent
        left = stopped_completion(stream.completion, self.priced()[1])
        choices = left["choices"] or [EMPTY_CHOICE]
        return {**left, "choices": [{**c, "finish_reason": STOPPED} for c in choices]}

    def _with_answer(self, stream: StreamFacts) -> Mapping[str, Any]:
        """Return the completion with what is known of its answer."""
        mode = stream.answer_mode
        if self.stopped is None:
            return {"answer": {"mode": mode}, **stream.completion}
        if self.stopped is BY_READER:
            completion = self._left(stream)
        else:
            completion = stopped_completion(stream.completion, self.priced()[1])
        return {"answer": {"mode": mode, "stopped": [*self.stopped]}, **completion}

    async def _read(self, opened: OpenStream) -> None:
        """Put the deltas, if wanted; leave the stream early if the rest of it is of no use."""
        id, submission, deltas = self.request.prompt.id, self.submission, self.options.deltas
        watch, stop_when = self.options.watch(opened.stream), self.options.stop_when
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
            if self.halt is None:
                chunks = await opened.stream.batch()
                continue
            more = await self.halt.result(opened.stream.batch())
            if more is None:
                self.stopped = BY_READER
                opened.stream.timing.ended = opened.stream.timing.last_chunk
                return
            chunks = more

    async def _open_in_time(self) -> OpenStream:
        """Return the first stream that opens; the hedge may send a late request again."""
        resources = self.resources
        plan = resources.drafts.plan(self.request, self.options.model, self._draft)
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
        options, resources = self.options, self.resources
        if options.rate_limiter is not None:
            await wait_until_allowed(options.rate_limiter, resources.gate)
        client, place = resources.client, self.place
        stream = client.stream(plan, emit_chunks=options.reads_chunks, between=place.vacated)
        self.newest = stream
        try:
            await stream.open()
            return OpenStream(stream, await stream.batch())
        except BaseException as error:
            # An error carries its discarded attempts; a cancelled request does not.
            if not isinstance(error, RitellmError) and not self._is_halted:
                self.waste.lose(stream.as_discarded())
            await stream.aclose()
            raise

    @property
    def _is_halted(self) -> bool:
        """Whether a reader has stopped the run: what it has received is its outcome, not waste."""
        return self.halt is not None and self.halt.is_halted

    def _draft(self, model: str, **own: Any) -> Draft:
        options = self.options
        pace = {} if options.deltas else _WITHOUT_DELTAS
        arguments = {**_DEFAULTS, **pace, **options.params, **own}
        if options.answer is not None:
            arguments["answer"] = options.answer
        return self.resources.client.draft(model, stream=True, **arguments)
