"""The transforms that send prompts to a model: deltas and completions come back as elements.

Each bundle has a window of streams in flight: `process` submits its prompt and yields what has
arrived for any prompt so far; `finish_bundle` waits for the rest and yields it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from ritellm.prices import PRICES, Price
from ritellm.rate_limits.pace import Limits
from transforms.budget.ledger import NewLedger
from transforms.committed.commits import DRAIN_SECONDS, SHARDS, Commits
from transforms.committed.streams import CommittedStreams
from transforms.committed.turn import INCOMPLETE
from transforms.completions.stage import PUMP_NOW, find_seat
from transforms.completions.windowing import Windowed, place_of
from transforms.elements import PUMP, Completion, DeadLetter, Delta, Outcome, Prompt
from transforms.graph.display import annotations_of, facts_of
from transforms.graph.element_types import HOW_TO_GET_PROMPTS, check_input, with_types
from transforms.graph.error_output import OF_PROMPT, ErrorOutput, checked
from transforms.graph.jobs import JobDoFn, JobParDo
from transforms.graph.outputs import passed_on
from transforms.graph.refused_secrets import check_variable, refuse_secrets
from transforms.journal import NewJournal
from transforms.metrics import Meter
from transforms.pacing import Pacing
from transforms.worker import hedging
from transforms.worker.completer import Completer
from transforms.worker.engine import join
from transforms.worker.event_loop import Window
from transforms.worker.factories import NewClient, NewResources
from transforms.worker.outbox import Wait
from transforms.worker.prompts import prompt_of
from transforms.worker.room import ReadAhead
from transforms.worker.timeouts import timeouts_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams
    from transforms.completions.params import JobParams

COMPLETIONS = "completions"
DEAD_LETTERS = "dead_letters"
DELTAS = "deltas"
PACING = "pacing"

# How long a pump element yields outcomes before its source looks for the next prompt.
_PUMP_SECONDS = 0.01

# How long to wait for a delta before checking whether prompts between two attempts leave room.
_DELTA_SECONDS = 0.25
# Without deltas, how long outcomes wait for more, so that one wake-up of the thread serves many.
_GROUP_SECONDS = 0.05


class _ModelTransform(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """The base of both transforms: the model, the limits and the key."""

    def __init__(
        self,
        model: str,
        *,
        max_in_flight: int = 64,
        rpm: float | None = None,
        tpm: float | None = None,
        give_up_after: float = 600.0,
        hedge_after: float | str | None = None,
        rate_limiter: Any = None,
        journal: NewJournal | None = None,
        dedupe: bool = False,
        budget: NewLedger | None = None,
        prices: Mapping[str, Price] = PRICES,
        api_key_env: str | None = None,
        api_key_secret: str | None = None,
        api_key_file: str | None = None,
        new_client: Callable[[], Any] | None = None,
        commit_every: float | None = None,
        shards: int = SHARDS,
        drain_seconds: float = DRAIN_SECONDS,
        error_handler: Any = None,
        **params: Unpack[CompletionParams],
    ) -> None:
        super().__init__()
        self._commits = Commits.checked(commit_every, shards, drain_seconds)
        self._error_handler = checked(error_handler)
        refuse_secrets(model, params, new_client)
        check_variable(api_key_env)
        base_url = params.pop("base_url", None)
        kept: Mapping[str, Any] = params
        if new_client is None or not {"timeout", "request_timeout"}.isdisjoint(kept):
            kept = {**kept, "timeout": timeouts_of(kept)}
        if dedupe and journal is None:
            raise ValueError("dedupe finds equal requests in the journal; pass a journal too")
        self._completer = Completer(
            model,
            kept,
            rate_limiter=rate_limiter,
            base_url=base_url,
            dedupe=dedupe,
            prices=prices,
        )
        hedging.parse(hedge_after)
        self._new_resources = NewResources(
            new_client or NewClient(api_key_env, base_url, api_key_secret, api_key_file),
            Limits(max_in_flight, rpm, tpm, give_up_after),
            hedge_after,
            journal,
            budget,
        )

    def display_data(self) -> dict[str, Any]:
        """Return the model and the limits, for the page of the step in the runner's console."""
        return {**super().display_data(), **self._facts()}

    def annotations(self) -> dict[str, Any]:
        """Return the model and the limits, for tools that read the pipeline."""
        return {**super().annotations(), **annotations_of(self._facts())}

    def _facts(self) -> dict[str, Any]:
        completer, made = self._completer, self._new_resources
        return facts_of(
            completer.model,
            completer.params,
            base_url=completer.base_url,
            dedupe=completer.dedupe,
            limits=made.limits,
            hedge_after=made.hedge_after,
            journal=made.new_journal,
            budget=made.new_ledger,
            commits=self._commits,
        )

    def _failed(self) -> tuple[str, ...]:
        return (DEAD_LETTERS,) if self._commits is None else (DEAD_LETTERS, INCOMPLETE)

    def _complete(self, prompts: Any, completer: Completer, outputs: Mapping[str, type]) -> Any:
        """Return the outputs with these types, by tag; the main one is the first."""
        check_input(prompts, Prompt, type(self).__name__, HOW_TO_GET_PROMPTS)
        main, *tags = outputs
        if self._commits is not None:
            committed = CommittedStreams(completer, self._new_resources, _TAGS, main, self._commits)
            return prompts | "Committed" >> committed
        fn = _CompleteFn(completer, self._new_resources, main)
        # An update matches the steps of the running job by their labels: keep this one.
        done = prompts | "Ask" >> JobParDo(fn).with_outputs(*tags, main=main)
        return passed_on(with_types(done, outputs), outputs)


class StreamCompletions(_ModelTransform):
    """`Prompt -> Delta`: each delta becomes an element at once, so fused consumers see it live.

    Returns outputs `.deltas` and `.dead_letters`. `model` is "provider/model". A prompt is a
    `Prompt`, or a row of any class with the text columns `id` and `request` (and `input`, `place`,
    `key` if it has them). The pipeline is not built with other types: it raises Beam's
    TypeCheckError. An element of unknown type that is no prompt becomes a dead letter.

    Args:
        max_in_flight: the most open streams of one process; fewer while the provider throttles.
        rpm, tpm: requests and tokens a minute, for each process.
        give_up_after: seconds of uninterrupted throttling, or of an outage of the server, after
            which prompts become dead letters.
        hedge_after: seconds, or a percentile such as "p95", after which a late request is sent a
            second time (5 % extra requests at most, none while the provider throttles).
        journal: keeps finished completions; requests that it has are not sent again.
        dedupe: equal requests of a run share one completion; needs a journal.
        budget: what may be spent (`NewLedger(Caps(usd=5))`); prompts beyond it become dead letters
            (BudgetExceeded) without being sent.
        prices: USD per million tokens of a model, for `cost_usd`; see `ritellm.prices`.
        rate_limiter: Beam's RateLimiter, for a limit that holds across workers.
        api_key_env: the *name* of the variable that holds the key, read on the worker.
        api_key_secret: the name of a version in Google's Secret Manager, read on the worker.
        api_key_file: the path of a file that holds the key, read on the worker.
        timeout: seconds, or `ritellm.Timeouts`. With seconds, `total` is an hour, or twice
            `first_chunk` if that is longer. Without a timeout, a `new_client` keeps its own.
        base_url: the address of the provider, for clients and for keys in the journal.
        commit_every: seconds. Deltas become elements that later stages see within about that time,
            also behind a shuffle, and a bundle ends in milliseconds, not with its slowest answer.
            Needs a runner with timers in real time: Prism, Flink, Dataflow. Prompts without an
            outcome are state of the pipeline. The output `.incomplete` has dead letters of answers
            that a drain did not wait for.
        shards: with `commit_every`, the number of keys. At most this many processes send requests,
            and each shard with an open prompt costs one commit per `commit_every`.
        drain_seconds: with `commit_every`, how long a drain, or the end of the input, waits for
            open answers.
        error_handler: Beam's ErrorHandler, which gets the dead letters; the transform then returns
            its main output alone (`transforms.graph.error_output`).
        params: parameters of `ritellm.completion` for every prompt; a prompt's own override them.
    """

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Stream each prompt."""
        completer = replace(self._completer, deltas=True)
        outputs = {DELTAS: Delta, DEAD_LETTERS: DeadLetter}
        done = self._complete(prompts, completer, outputs)
        return self._handled(done, DELTAS, self._failed(), OF_PROMPT)


class CompletePrompts(_ModelTransform):
    """`Prompt -> Completion`: streamed, and assembled on the worker; no delta crosses a shuffle.

    Returns outputs `.completions` and `.dead_letters`, and with `emit_deltas` also `.deltas`, live.
    `.pacing` has refusals and waits since its last element (`transforms.pacing.Pacing`).
    The arguments are those of `StreamCompletions`.
    """

    def __init__(
        self, model: str, *, emit_deltas: bool = False, **params: Unpack[JobParams]
    ) -> None:
        super().__init__(model, **params)
        self._emit_deltas = emit_deltas

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Complete each prompt."""
        completer = replace(self._completer, deltas=self._emit_deltas, completions=True)
        outputs = {COMPLETIONS: Completion, DEAD_LETTERS: DeadLetter, PACING: Pacing}
        more = (DELTAS,) if self._emit_deltas else ()
        outputs.update(dict.fromkeys(more, Delta))
        done = self._complete(prompts, completer, outputs)
        return self._handled(done, COMPLETIONS, self._failed(), OF_PROMPT, more)


class _CompleteFn(JobDoFn):
    """Keeps a window of prompts in flight while the bundle runs."""

    def __init__(self, completer: Completer, new_resources: NewResources, main: str) -> None:
        self._completer = completer
        self._new_resources = new_resources
        self._main = main
        self._window: Window[Windowed, Outcome] | None = None
        self._newest: Windowed | None = None  # the place of the newest prompt

    def setup(self) -> None:
        """Join this process's engine, or start it."""
        self._completer = self._completer.here(os.environ)
        self._event_loop = join(self._new_resources, self._completer, self.job)
        self._ahead = ReadAhead(self._new_resources.limits.max_in_flight)
        self._meter = Meter(self._event_loop.resources)

    def start_bundle(self) -> None:
        """Begin with an empty window; cancel what an earlier, failed bundle left."""
        self._give_up()
        self._seat = find_seat()
        self._window = Window(self._event_loop, filled=self._seat.filled)
        self._seat.sit(self._window, self._patience)
        self._newest = None

    def process(
        self, element: Any, windowed: Windowed = beam.DoFn.WindowedValueParam
    ) -> Iterator[Any]:
        """Start a prompt; yield what has arrived for it and for those before it.

        `windowed` is the element with all its windows, so that Beam calls this once for all of
        them.
        """
        prompt = prompt_of(element)
        if isinstance(prompt, DeadLetter):
            self._meter.count([prompt])
            yield self._tagged(prompt)
            return
        if prompt.request == PUMP.request:
            yield from self._arrived() if prompt.id == PUMP_NOW.id else self._pumped()
            return
        if not windowed.windows:  # its outcomes would be in no window, where no one sees them
            return
        completer, resources = self._completer, self._event_loop.resources
        request = completer.request(resources, prompt)
        if replayed := list(completer.replay(resources, request)):
            self._meter.count(replayed)
            yield from map(self._tagged, replayed)
            return
        submission = completer.submission(resources, request)
        self._newest = place = place_of(windowed)
        in_flight = self._in_flight()
        in_flight.submit(place, lambda put: completer(resources, request, put, submission))
        yield from self._arrived()
        while self._ahead.is_full(in_flight.in_flight, resources.room):
            yield from self._arrived(self._patience())

    def _pumped(self) -> Iterator[Any]:
        """Yield what arrives within `_PUMP_SECONDS`."""
        until = time.monotonic() + _PUMP_SECONDS
        while (left := until - time.monotonic()) > 0:
            yield from self._arrived(Wait(seconds=left))

    def finish_bundle(self) -> Iterator[Any]:
        """Wait for the rest, and yield it."""
        while self._in_flight().in_flight:
            yield from self._arrived(self._patience())
        self._meter.count_pacing(at_once=True)
        reported, windowed = self._completer.completions, self._newest
        if reported and windowed is not None and (pacing := self._meter.pacing()):
            yield beam.pvalue.TaggedOutput(PACING, windowed.with_value(pacing))

    def _patience(self) -> Wait:
        """Return what to wait for: the next delta, or enough outcomes to justify a wake-up."""
        if self._completer.deltas:
            return Wait(seconds=_DELTA_SECONDS)
        rest = 2 * self._in_flight().in_flight  # each sends its outcome and its end
        return Wait(min(self._ahead.spare, rest), _GROUP_SECONDS)

    def teardown(self) -> None:
        """Cancel the remaining work, and leave the engine."""
        self._give_up()
        self._event_loop.release()
        del self._event_loop, self._meter  # and with them the journal

    def _in_flight(self) -> Window[Windowed, Outcome]:
        assert self._window is not None, "Beam calls start_bundle first"
        return self._window

    def _arrived(self, wait: Wait | None = None) -> Iterator[Any]:
        """Yield arrived outcomes in their prompts' windows; cancel all work if a consumer fails."""
        try:
            window = self._in_flight()
            arrived = window.take() if wait is None else self._seat.take(window, wait)
            if not arrived and wait is None:
                return
            self._meter.count([outcome for _, outcome in arrived])
            for windowed, outcome in arrived:
                yield self._tagged(outcome, windowed)
            self._meter.count_pacing()
        except BaseException:
            self._give_up()
            raise

    def _tagged(self, outcome: Outcome, windowed: Windowed | None = None) -> Any:
        """Return `outcome` for its output, with the timestamp, windows and pane of its prompt.

        Without `windowed` it gets those of the element that is being processed.
        """
        value = outcome if windowed is None else windowed.with_value(outcome)
        tag = _TAGS[type(outcome)]
        return value if tag == self._main else beam.pvalue.TaggedOutput(tag, value)

    def _give_up(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None


_TAGS: Mapping[type, str] = {Delta: DELTAS, Completion: COMPLETIONS, DeadLetter: DEAD_LETTERS}
