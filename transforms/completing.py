"""The core: prompts fan out to a model, deltas and completions come back as elements.

A sliding window of streams over the elements of a bundle: `process` submits its prompt and hands on
whatever has come of any prompt by then; `finish_bundle` hands on the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import apache_beam as beam
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from transforms.asking import Ask, Outcome
from transforms.clients import NewClient
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.engine import Engine, Window
from transforms.meter import Meter

COMPLETIONS = "completions"
DEAD_LETTERS = "dead_letters"
DELTAS = "deltas"

# An element's own timestamp and windows: what comes of it must carry them too.
Place = tuple[Any, tuple[Any, ...]]


class StreamCompletions(beam.PTransform):  # type: ignore[misc]
    """`Prompt -> Delta`: each delta is an element at once, fused consumers see it live.

    Returns outputs `.deltas` and `.dead_letters`. `model` is "provider/model"; `max_in_flight` caps
    the open streams of one process. `params` are arguments of `ritellm.completion` that hold for
    every prompt (a prompt's own go first), never a key: name its variable in `api_key_env`.
    """

    def __init__(
        self,
        model: str,
        *,
        max_in_flight: int = 64,
        api_key_env: str | None = None,
        base_url: str | None = None,
        new_client: Callable[[], Any] | None = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self._ask = Ask(model, _without_keys(params), deltas=True)
        self._new_client = new_client or NewClient(api_key_env, base_url)
        self._max_in_flight = max_in_flight

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Fan out."""
        ask = _AskFn(self._ask, self._new_client, self._max_in_flight)
        return prompts | "Ask" >> beam.ParDo(ask).with_outputs(
            DEAD_LETTERS, main=DELTAS
        ).with_output_types(Delta)


class CompletePrompts(beam.PTransform):  # type: ignore[misc]
    """`Prompt -> Completion`: streamed and put together in place; no delta crosses a shuffle.

    Returns outputs `.completions` and `.dead_letters`, and with `emit_deltas` also `.deltas`, live.
    The arguments are those of `StreamCompletions`.
    """

    def __init__(
        self,
        model: str,
        *,
        emit_deltas: bool = False,
        max_in_flight: int = 64,
        api_key_env: str | None = None,
        base_url: str | None = None,
        new_client: Callable[[], Any] | None = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self._ask = Ask(model, _without_keys(params), deltas=emit_deltas, completions=True)
        self._new_client = new_client or NewClient(api_key_env, base_url)
        self._max_in_flight = max_in_flight

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Ask and put together."""
        ask = _AskFn(self._ask, self._new_client, self._max_in_flight)
        tags = [DEAD_LETTERS, DELTAS] if self._ask.deltas else [DEAD_LETTERS]
        return prompts | "Ask" >> beam.ParDo(ask).with_outputs(
            *tags, main=COMPLETIONS
        ).with_output_types(Completion)


class _AskFn(beam.DoFn):  # type: ignore[misc]
    """Keeps a window of prompts in flight while the bundle goes on."""

    def __init__(self, ask: Ask, new_client: Callable[[], Any], max_in_flight: int) -> None:
        self._ask = ask
        self._new_client = new_client
        self._max_in_flight = max_in_flight
        self._shared = Shared()
        self._main = COMPLETIONS if ask.completions else DELTAS
        self._window: Window[Place, Outcome] | None = None

    def setup(self) -> None:
        """Join this process's engine, or start it."""
        make = functools.partial(Engine, self._new_client, self._max_in_flight)
        self._engine: Engine = self._shared.acquire(make)
        self._meter = Meter(self._ask.model)

    def start_bundle(self) -> None:
        """Begin with an empty window; what an earlier, failed bundle left is given up."""
        self._give_up()
        self._window = Window(self._engine)

    def process(
        self,
        prompt: Prompt,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        """Start `prompt`; hand on what has come of it and of those before it."""
        flying = self._flying()
        ask, client = self._ask, cast(Any, self._engine.client)
        flying.submit((timestamp, (window,)), lambda put: ask(client, prompt, put))
        yield from self._handed_on(wait=False)
        while flying.in_flight >= self._max_in_flight:
            yield from self._handed_on(wait=True)

    def finish_bundle(self) -> Iterator[Any]:
        """Hand on the rest."""
        while self._flying().in_flight:
            yield from self._handed_on(wait=True)

    def teardown(self) -> None:
        """Give up what is left; the engine ends with its last holder."""
        self._give_up()

    def _flying(self) -> Window[Place, Outcome]:
        assert self._window is not None, "Beam calls start_bundle first"
        return self._window

    def _handed_on(self, wait: bool) -> Iterator[Any]:
        """Yield what has come, in its own window; a consumer that fails ends all streams."""
        try:
            for (timestamp, windows), outcome in self._flying().take(wait):
                self._meter.count(outcome)
                tag = _TAGS[type(outcome)]
                value = outcome if tag == self._main else beam.pvalue.TaggedOutput(tag, outcome)
                yield _placed(value, timestamp, windows)
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None


_TAGS: Mapping[type, str] = {Delta: DELTAS, Completion: COMPLETIONS, DeadLetter: DEAD_LETTERS}


def _placed(value: Any, timestamp: Any, windows: tuple[Any, ...]) -> Any:
    """Return `value` where its prompt was, whichever element is being processed now."""
    if isinstance(value, beam.pvalue.TaggedOutput):
        inner = WindowedValue(value.value, timestamp, windows)
        return beam.pvalue.TaggedOutput(value.tag, inner)
    return WindowedValue(value, timestamp, windows)


def _without_keys(params: Mapping[str, Any]) -> Mapping[str, Any]:
    if "api_key" in params:
        raise TypeError(
            "a key would be stored in the job: name the environment variable that holds it in"
            " api_key_env (it is read on the worker)"
        )
    return params
