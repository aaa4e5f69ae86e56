"""The core: prompts fan out to a model, deltas and completions come back as elements.

A sliding window of streams over the elements of a bundle: `process` submits its prompt and hands on
whatever has come of any prompt by then; `finish_bundle` hands on the rest.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from ritellm.prices import PRICES, Price
from ritellm.rate_limits.pace import Limits
from transforms.budget.ledger import NewLedger
from transforms.elements import PUMP, Completion, DeadLetter, Delta, Prompt
from transforms.journal import NewJournal
from transforms.metrics import Meter
from transforms.worker import hedging
from transforms.worker.completer import Ask, Outcome
from transforms.worker.event_loop import Engine, Window
from transforms.worker.factories import NewClient, NewMeans
from transforms.worker.outbox import Wait
from transforms.worker.resources import Means
from transforms.worker.timeouts import timeouts_of

COMPLETIONS = "completions"
DEAD_LETTERS = "dead_letters"
DELTAS = "deltas"
PACING = "pacing"

# So long a source that has nothing waits before it looks again.
_PUMP_SECONDS = 0.01

# So many more prompts than there may be streams are at hand, and at least so many: when an answer
# ends the next is asked at once, whatever the bundle thread and the journal have to do meanwhile.
_AT_HAND, _LEAST_AT_HAND = 0.25, 8
# Up to this multiple of max_in_flight, prompts between two attempts keep no others from being sent.
_RESTING = 2
# So long a prompt may rest before another is taken in its place, where no delta comes.
_WATCHED_SECONDS = 0.25
# Where nobody watches, what has come waits so long for more, so that a thread is woken for it once.
_UNWATCHED_SECONDS = 0.05

# A WindowedValue with an element's own timestamp and window: what comes of it must carry them too.
Place = Any


class _Asking(beam.PTransform):  # type: ignore[misc]
    """What the two transforms have in common: whom to ask, how fast, and with which key."""

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
        base_url: str | None = None,
        new_client: Callable[[], Any] | None = None,
        **params: Any,
    ) -> None:
        super().__init__()
        kept = _without_keys(params)
        if new_client is None or not {"timeout", "request_timeout"}.isdisjoint(kept):
            kept = {**kept, "timeout": timeouts_of(kept)}
        if dedupe and journal is None:
            raise ValueError("dedupe finds equal requests in the journal: it needs one")
        self._ask = Ask(
            model,
            kept,
            rate_limiter=rate_limiter,
            base_url=base_url,
            dedupe=dedupe,
            prices=prices,
        )
        hedging.parse(hedge_after)
        self._new_means = NewMeans(
            new_client or NewClient(api_key_env, base_url, api_key_secret, api_key_file),
            Limits(max_in_flight, rpm, tpm, give_up_after),
            hedge_after,
            journal,
            budget,
        )

    def _asked(self, prompts: Any, ask: Ask, main: str, element: type, *tags: str) -> Any:
        fn = _AskFn(ask, self._new_means, main)
        return prompts | "Ask" >> beam.ParDo(fn).with_outputs(*tags, main=main).with_output_types(
            element
        )


class StreamCompletions(_Asking):
    """`Prompt -> Delta`: each delta is an element at once, fused consumers see it live.

    Returns outputs `.deltas` and `.dead_letters`. `model` is "provider/model".

    Args:
        max_in_flight: the most open streams of one process; fewer while the provider throttles.
        rpm, tpm: requests and tokens a minute, for each process.
        give_up_after: seconds of nothing but throttling after which prompts become dead letters.
        hedge_after: seconds, or a percentile such as "p95", after which a late answer is asked for
            a second time (5 % extra requests at most, none while the provider throttles).
        journal: keeps finished completions; what it has is not asked again.
        dedupe: equal requests of a run share one answer; needs a journal.
        budget: what may be spent (`NewLedger(Caps(usd=5))`); prompts beyond it become dead letters
            (BudgetExceeded) without being asked.
        prices: USD per million tokens of a model, for `cost_usd`; see `ritellm.prices`.
        rate_limiter: Beam's RateLimiter, for a limit that holds across workers.
        api_key_env: the *name* of the variable that holds the key, read on the worker.
        api_key_secret: the name of a version in Google's Secret Manager, read on the worker.
        api_key_file: the path of a file that holds the key, read on the worker.
        timeout: seconds, or `ritellm.Timeouts`. Where it is no `Timeouts`, `total` is an hour, or
            twice `first_chunk` if that is longer. A `new_client` keeps its own without it.
        params: arguments of `ritellm.completion` for every prompt (a prompt's own go first).
    """

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Fan out."""
        ask = replace(self._ask, deltas=True)
        return self._asked(prompts, ask, DELTAS, Delta, DEAD_LETTERS)


class CompletePrompts(_Asking):
    """`Prompt -> Completion`: streamed and put together in place; no delta crosses a shuffle.

    Returns outputs `.completions` and `.dead_letters`, and with `emit_deltas` also `.deltas`, live.
    `.pacing` has refusals and waits since the last one (`transforms.pacing.Pacing`).
    The arguments are those of `StreamCompletions`.
    """

    def __init__(self, model: str, *, emit_deltas: bool = False, **arguments: Any) -> None:
        super().__init__(model, **arguments)
        self._emit_deltas = emit_deltas

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Ask and put together."""
        ask = replace(self._ask, deltas=self._emit_deltas, completions=True)
        tags = [DEAD_LETTERS, PACING, *([DELTAS] if self._emit_deltas else [])]
        return self._asked(prompts, ask, COMPLETIONS, Completion, *tags)


class _AskFn(beam.DoFn):  # type: ignore[misc]
    """Keeps a window of prompts in flight while the bundle goes on."""

    def __init__(self, ask: Ask, new_means: NewMeans, main: str) -> None:
        self._ask = ask
        self._new_means = new_means
        self._shared = Shared()
        self._main = main
        self._window: Window[Place, Outcome] | None = None
        self._place: Place | None = None  # of the newest prompt

    def setup(self) -> None:
        """Join this process's engine, or start it."""
        self._engine: Engine[Means] = self._shared.acquire(
            functools.partial(Engine, self._new_means)
        )
        limit = self._new_means.limits.max_in_flight
        self._spare = max(_LEAST_AT_HAND, int(limit * _AT_HAND))
        self._most = limit + self._spare
        self._meter = Meter(self._engine.means)
        self._ask = self._ask.here(os.environ)

    def start_bundle(self) -> None:
        """Begin with an empty window; what an earlier, failed bundle left is given up."""
        self._give_up()
        self._window, self._place = Window(self._engine), None

    def process(
        self,
        prompt: Prompt,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        """Start `prompt`; hand on what has come of it and of those before it."""
        if prompt.request == PUMP.request:
            yield from self._pumped()
            return
        flying, ask, means = self._flying(), self._ask, self._engine.means
        question = ask.question(means, prompt)
        if again := list(ask.again(means, question)):
            self._meter.count(again)
            yield from map(self._tagged, again)
            return
        asked = ask.times_asked(means, question)
        self._place = place = WindowedValue(None, timestamp, (window,))
        flying.submit(place, lambda put: ask(means, question, put, asked))
        yield from self._handed_on()
        while self._is_full(flying):
            yield from self._handed_on(self._patience())

    def _pumped(self) -> Iterator[Any]:
        """Hand on what comes within a moment."""
        until = time.monotonic() + _PUMP_SECONDS
        while (left := until - time.monotonic()) > 0:
            yield from self._handed_on(Wait(seconds=left))

    def finish_bundle(self) -> Iterator[Any]:
        """Hand on the rest."""
        while self._flying().in_flight:
            yield from self._handed_on(self._patience())
        self._meter.count_pacing(at_once=True)
        place, reported = self._place, self._ask.completions
        if reported and place is not None and (pacing := self._meter.pacing()):
            yield beam.pvalue.TaggedOutput(PACING, place.with_value(pacing))

    def _is_full(self, flying: Window[Place, Outcome]) -> bool:
        """Return whether no more prompts are taken: those between two attempts hardly count."""
        most = _RESTING * self._new_means.limits.max_in_flight
        return flying.in_flight - min(most, self._engine.means.room.resting) >= self._most

    def _patience(self) -> Wait:
        """Return what to wait for: the next delta, or answers enough to be worth a wake-up."""
        if self._ask.deltas:
            return Wait(seconds=_WATCHED_SECONDS)
        rest = 2 * self._flying().in_flight  # each brings its outcome, and its end
        return Wait(min(self._spare, rest), _UNWATCHED_SECONDS)

    def teardown(self) -> None:
        """Give up what is left; the engine ends with its last holder."""
        self._give_up()

    def _flying(self) -> Window[Place, Outcome]:
        assert self._window is not None, "Beam calls start_bundle first"
        return self._window

    def _handed_on(self, wait: Wait | None = None) -> Iterator[Any]:
        """Yield what has come, in its own window; a consumer that fails ends all streams."""
        try:
            lot = self._flying().take(wait)
            if not lot and wait is None:
                return
            self._meter.count([outcome for _, outcome in lot])
            for place, outcome in lot:
                yield self._tagged(outcome, place)
            self._meter.count_pacing()
        except BaseException:
            self._give_up()
            raise

    def _tagged(self, outcome: Outcome, place: Place | None = None) -> Any:
        """Return `outcome` for the output that it belongs to, at the place of its prompt.

        Without a place it has that of the element that is being processed.
        """
        value = outcome if place is None else place.with_value(outcome)
        tag = _TAGS[type(outcome)]
        return value if tag == self._main else beam.pvalue.TaggedOutput(tag, value)

    def _give_up(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None


_TAGS: Mapping[type, str] = {Delta: DELTAS, Completion: COMPLETIONS, DeadLetter: DEAD_LETTERS}


def _without_keys(params: Mapping[str, Any]) -> Mapping[str, Any]:
    if "api_key" in params:
        raise TypeError(
            "a key would be stored in the job: name the environment variable that holds it in"
            " api_key_env, or a secret's version in api_key_secret (both are read on the worker)"
        )
    return params
