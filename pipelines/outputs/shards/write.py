"""Writes outcomes to shards and adds up their totals, in one step per kind of outcome.

The problem: Beam's own file sinks take some thirty steps for each kind of outcome, and show nothing
before the job ends. A sum over rows takes more steps. A short job spends more time on them than on
its rows.

The idea: the step that has a row in its hands also counts it.

    Completions --> WriteCompletions --+
    FailedRows  --> WriteFailedRows  --+--(side inputs)--> WriteReport: renames, report, _SUCCESS
    FailedCalls --> WriteFailedCalls --+

A `Part` is what leaves a bundle: the shards that it has closed, and the sum over their rows. Both
are of the same rows, so a runner that repeats a bundle replaces both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.report import Totals
from pipelines.outputs.shards.manifest import Shard
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.writer import ShardWriter


@dataclass(frozen=True, slots=True)
class Part:
    """What a bundle has written; `totals` is None for deltas."""

    totals: Totals | None
    shards: tuple[Shard, ...] = ()


class WriteShards(beam.ParDo):  # type: ignore[misc]
    """Write outcomes to the shards `folder/KIND-RUN-*`; returns a `Part` for each bundle.

    `totals` returns an empty sum for the report; None is for deltas, which it does not count.
    Readers never see part of a row. What an uncommitted bundle leaves behind lies in
    `_unfinished/`; the end of the job removes it.
    """

    def __init__(
        self,
        settings: ShardSettings,
        kind: str,
        format: RowFormat,
        totals: Callable[[], Totals] | None = Totals,
    ) -> None:
        super().__init__(_WriteFn(settings, kind, format, totals))
        self.with_output_types(Part)


class _WriteFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self,
        settings: ShardSettings,
        kind: str,
        format: RowFormat,
        totals: Callable[[], Totals] | None,
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._format = format
        self._new_totals = totals

    def setup(self) -> None:
        self._writer = ShardWriter(self._settings, self._kind, self._format)

    def start_bundle(self) -> None:
        if not self._settings.at_once:
            self._writer.discard()  # of a bundle that has failed
        self._totals = self._new_totals and self._new_totals()
        self._encode, self._write = self._format.encode, self._writer.write

    def process(self, outcome: Any) -> None:
        self._write(self._encode(outcome))
        if self._totals is not None:
            self._totals.add(outcome)

    def finish_bundle(self) -> Iterator[Any]:
        shards = tuple(self._writer.take())
        if shards:
            yield GlobalWindows.windowed_value(Part(self._totals, shards))

    def teardown(self) -> None:
        self._writer.close()


class SumUp(beam.ParDo):  # type: ignore[misc]
    """Add up outcomes that are written elsewhere; returns a `Part` for each bundle."""

    def __init__(self, totals: Callable[[], Totals] = Totals) -> None:
        super().__init__(_SumFn(totals))
        self.with_output_types(Part)


class _SumFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, totals: Callable[[], Totals]) -> None:
        self._new_totals = totals

    def start_bundle(self) -> None:
        self._totals = self._new_totals()

    def process(self, outcome: Any) -> None:
        self._totals.add(outcome)

    def finish_bundle(self) -> Iterator[Any]:
        if self._totals.completed or self._totals.failed:
            yield GlobalWindows.windowed_value(Part(self._totals))
