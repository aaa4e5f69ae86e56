"""Completes a row whose answer is checked, or finds how it has ended. No Beam."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import orjson

from transforms.elements import Completion, DeadLetter, Delta, Outcome
from transforms.worker.answers.chain import Chain, Entries
from transforms.worker.loop.event_loop import Put
from transforms.worker.options import CompleterOptions
from transforms.worker.requests import PromptRequest
from transforms.worker.resources import Resources

if TYPE_CHECKING:
    from transforms.worker.prompt_run import Ending

Send = Callable[[PromptRequest, Put[Outcome]], Awaitable["Ending"]]


def replay(
    options: CompleterOptions, journal: Entries, request: PromptRequest
) -> Completion | DeadLetter | None:
    """Return how the row of `request` has ended in an earlier run; None if it has not. May block.

    What the journal has of the row is kept in `request`.
    """
    chain = Chain(options, journal, request)
    while True:
        completion = journal.completion(chain.request)
        if completion is None:
            return None
        if request.earlier is not None:
            request.earlier.append(completion)
        if (end := chain.judge(completion)) is not None:
            return end


async def answered(
    options: CompleterOptions,
    resources: Resources,
    request: PromptRequest,
    put: Put[Outcome],
    send: Send,
) -> list[Outcome]:
    """Return the outcomes of `request`, whose answer is valid; put its deltas, if wanted.

    `send` sends each request.
    """
    chain = Chain(options, resources.journal, request)
    for completion in request.earlier or ():
        chain.judge(completion)
    while True:
        before = chain.attempts
        ending = await send(chain.request, _later(put, before))
        if isinstance(ending.last, DeadLetter):
            return [chain.ended(ending.last)]
        if (end := chain.judge(ending.last)) is not None:
            return _outcomes(options, request, ending, end, before)


def _later(put: Put[Outcome], attempts: int) -> Put[Outcome]:
    """Return a `put` that numbers deltas after `attempts` earlier attempts."""
    if not attempts:
        return put

    async def put_later(outcomes: Iterable[Outcome]) -> None:
        await put([_renumbered(each, attempts) for each in outcomes])

    return put_later


def _renumbered(outcome: Outcome, attempts: int) -> Outcome:
    if isinstance(outcome, Delta):
        return outcome._replace(attempt=outcome.attempt + attempts)
    return outcome


def _outcomes(
    options: CompleterOptions,
    request: PromptRequest,
    ending: Ending,
    end: Completion | DeadLetter,
    attempts: int,
) -> list[Outcome]:
    if isinstance(end, DeadLetter):
        return [end]
    if options.deltas and ending.final_delta is None:  # shared, or from the journal
        return list(options.outcomes_of(request, end))
    outcomes: list[Outcome] = []
    if ending.final_delta is not None:
        outcomes.append(_final(ending.final_delta, end, attempts))
    return [*outcomes, end] if options.completions else outcomes


def _final(delta: Delta, end: Completion, attempts: int) -> Delta:
    """Return the final delta of the last request as that of the row."""
    outcome = orjson.loads(delta.outcome or "{}")
    names = "attempts cost_usd wasted_tokens wasted_cost_usd waste_estimated".split()
    outcome |= {name: getattr(end, name) for name in names}
    whole = orjson.loads(end.completion)
    outcome |= {name: whole[name] for name in ("answer",) if name in whole}
    outcome["usage"] = whole.get("usage")
    chunk = orjson.loads(delta.chunk)
    if "usage" in chunk:  # the stream was left by a reader
        chunk = orjson.dumps({**chunk, "usage": whole.get("usage")}).decode()
        delta = delta._replace(chunk=chunk)
    return delta._replace(attempt=delta.attempt + attempts, outcome=orjson.dumps(outcome).decode())
