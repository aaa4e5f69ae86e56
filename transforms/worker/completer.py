"""Completes one prompt: streams its deltas, then returns a completion or a dead letter.

The path of a prompt, in the order of the code below:

1. replay: the journal may have the completion of an earlier run (`Completer.replay`);
2. single flight: with `dedupe`, an equal request in flight may supply it (`Completer.__call__`);
3. place, reserve, stream, settle, record (`Completer._complete`);
4. open the stream, with a second request if the first is late, and read it
   (`transforms.worker.prompt_run`).

What a job does not use (journal, budget, hedging) is a null object in `Resources`, so the path has
no branches for missing parts. No Beam, no HTTP.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ritellm.errors import ABOUT_VALUES
from ritellm.providers import address_in
from transforms.budget.waste import Waste
from transforms.elements import Completion, DeadLetter, Outcome, Prompt
from transforms.worker.loop.event_loop import Put
from transforms.worker.options import CompleterOptions
from transforms.worker.outcomes import to_dead_letter
from transforms.worker.prompt_run import Ending, PromptRun
from transforms.worker.recorded.single_flight import End, copy_for
from transforms.worker.requests import PromptRequest, laid_over, request_of
from transforms.worker.resources import Resources
from transforms.worker.row_faults import OF_A_ROW, of_row
from transforms.worker.submissions import digest_of, new_submission

if TYPE_CHECKING:
    from transforms.worker.records.recording import RecordReader


@dataclass(frozen=True)
class Completer(CompleterOptions):
    """Completes prompts with a model."""

    def here(self, environ: Mapping[str, str]) -> Completer:
        """Return this completer for a process with `environ`, which may name the address."""
        requests = None if self.stops is None else self.stops()
        url = self.base_url or address_in(environ, self.model)
        return replace(self, base_url=url, stop_requests=requests)

    def request(self, resources: Resources, prompt: Prompt) -> PromptRequest:
        """Return the parsed request of `prompt`, and the key of its completion in the journal."""
        try:
            body = laid_over(self.params, request_of(prompt))
            key = resources.journal.key(self.model, self.base_url, self.keyed_params, prompt, body)
        except OF_A_ROW as error:
            return PromptRequest(prompt, {}, of_row(error))
        digest = digest_of(prompt.request, body) if self.deltas else ""
        earlier: list[Completion] | None = [] if self.may_ask_again else None
        return PromptRequest(prompt, body, key=key, digest=digest, earlier=earlier)

    def replay(self, resources: Resources, request: PromptRequest) -> Iterator[Outcome]:
        """Yield the outcomes that the journal has for `request`, or nothing. May block."""
        find = self._replayed(resources) if self.may_ask_again else resources.journal.completion
        completion = find(request)
        if completion is None:
            return
        with suppress(*ABOUT_VALUES):  # a damaged entry counts as missing
            last = resources.journal.last_order(request) if self.deltas else 0
            outcomes = list(self.outcomes_of(request, completion, last))
            yield from outcomes if self.records is None else self.records.reader().read(outcomes)

    def _replayed(self, resources: Resources) -> Callable[[PromptRequest], End | None]:
        from transforms.worker.answers.rows import replay

        return functools.partial(replay, self, resources.journal)

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
            if self.records is not None:
                return await self._read(self.records.reader(), resources, request, put, submission)
            return await self._outcomes(resources, request, put, submission)
        except OF_A_ROW as error:
            return [to_dead_letter(request.prompt, of_row(error), self.prices, started)]

    async def _read(
        self,
        reader: RecordReader,
        resources: Resources,
        request: PromptRequest,
        put: Put[Outcome],
        submission: str,
    ) -> list[Outcome]:
        """Put the records of `request`; return its last ones, or its dead letter."""

        async def put_records(outcomes: Iterable[Outcome]) -> None:
            if found := reader.read(outcomes):
                await put(found)

        return reader.read(await self._outcomes(resources, request, put_records, submission))

    async def _outcomes(
        self, resources: Resources, request: PromptRequest, put: Put[Outcome], submission: str
    ) -> list[Outcome]:
        """Return the outcomes of `request`, its own or those of an equal request."""
        if self.may_ask_again:
            from transforms.worker.answers.rows import answered

            send = functools.partial(self.ending, resources, submission=submission)
            return await answered(self, resources, request, put, send)
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
