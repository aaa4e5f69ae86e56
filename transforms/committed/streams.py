"""The steps of a transform with `commit_every`: by shard, then the stateful DoFn."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import apache_beam as beam
from apache_beam.coders import registry
from apache_beam.coders.coders import WindowedValueCoder
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms.committed.commits import Commits
from transforms.committed.fn import NO_SHARD, CommittedFn, letter_coder
from transforms.committed.turn import INCOMPLETE
from transforms.elements import PUMP, DeadLetter, Prompt
from transforms.graph.element_types import with_types
from transforms.graph.jobs import JobParDo
from transforms.worker.completer import Completer
from transforms.worker.factories import NewResources
from transforms.worker.prompts import prompt_of

# These run timers in processing time at once, or never.
_OF_THIS_PROCESS = "FnApiRunner BundleBasedDirectRunner DirectRunner SwitchingDirectRunner"
_WITHOUT_CLOCK = frozenset(f"{_OF_THIS_PROCESS} InteractiveRunner".split())


def shard_of(id: str, shards: int) -> int:
    """Return the shard of the prompt `id`: the same in all processes and versions."""
    digest = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


class CommittedStreams(beam.PTransform):  # type: ignore[misc]
    """`Prompt -> outcomes`, committed each `commit_every` seconds; see `StreamCompletions`."""

    def __init__(
        self,
        completer: Completer,
        new_resources: NewResources,
        tags: Mapping[type, str],
        main: str,
        commits: Commits,
    ) -> None:
        super().__init__()
        self._arguments = completer, new_resources
        self._tags, self._main, self._commits = tags, main, commits

    def expand(self, prompts: Any) -> Any:
        """Stream each prompt in its shard."""
        pipeline = prompts.pipeline
        is_streaming = pipeline.options.view_as(StandardOptions).streaming
        batch = prompts.is_bounded and not is_streaming
        check_runner(type(pipeline.runner).__name__, batch=batch)
        windowing = prompts.windowing
        coder = WindowedValueCoder(
            registry.get_coder(Prompt), windowing.windowfn.get_window_coder()
        )
        by_shard = prompts | "ByShard" >> _by_shard(coder, self._commits.shards)
        # The state of a window is lost when the window ends, and an answer may end after that. So
        # the prompts carry their windows, as Beam's Reshuffle does it, and the outcomes get them.
        by_shard._windowing = Windowing(GlobalWindows())
        main, others = self._main, sorted({*self._tags.values(), INCOMPLETE} - {self._main})
        fn = CommittedFn(*self._arguments, coder, self._tags, main, self._commits)
        stream = JobParDo(fn).with_input_types(tuple[int, bytes])
        outputs = by_shard | "Stream" >> stream.with_outputs(*others, main=main)
        for tag in (main, *others):
            outputs[tag]._windowing = windowing
        types = {tag: kind for kind, tag in self._tags.items()}
        return with_types(outputs, {**types, INCOMPLETE: DeadLetter})


class _ByShardFn(beam.DoFn):  # type: ignore[misc]
    """Encodes a prompt with its windows, timestamp and pane, under its shard.

    An element that is no prompt becomes a dead letter under `NO_SHARD`.
    """

    def __init__(self, coder: WindowedValueCoder, shards: int) -> None:
        self._coder, self._letter_coder, self._shards = coder, letter_coder(coder), shards

    def process(self, element: Any, windowed: Any = beam.DoFn.WindowedValueParam) -> Any:
        prompt = prompt_of(element)
        if isinstance(prompt, DeadLetter):
            keyed = NO_SHARD, self._letter_coder.encode(windowed.with_value(prompt))
        elif prompt.request == PUMP.request:
            return
        else:
            shard = shard_of(prompt.id, self._shards)
            keyed = shard, self._coder.encode(windowed.with_value(prompt))
        yield WindowedValue(keyed, windowed.timestamp, (GlobalWindow(),))


def _by_shard(coder: WindowedValueCoder, shards: int) -> Any:
    return beam.ParDo(_ByShardFn(coder, shards)).with_output_types(tuple[int, bytes])


def check_runner(name: str, *, batch: bool) -> None:
    """Raise ValueError if a runner, or its batch mode, has no timers in real time."""
    if name in _WITHOUT_CLOCK:
        raise ValueError(
            f"commit_every must be omitted on {name}, which has no timers in real time;"
            " use PrismRunner, FlinkRunner or DataflowRunner"
        )
    if name == "DataflowRunner" and batch:
        raise ValueError(
            "commit_every must be omitted in a batch job on Dataflow, which has no timers in real"
            " time; pass --streaming to run a streaming job"
        )
