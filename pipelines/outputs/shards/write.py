"""Writes outcomes to shards and adds up their totals, in one step per kind of outcome.

The problem: Beam's own file sinks take some thirty steps for each kind of outcome, and show nothing
before the job ends. A sum over rows takes more steps. A short job spends more time on them than on
its rows.

The idea: the step that has a row in its hands also counts it, for the report and for the limit of
failures (`Accounts`).

    Completions --> WriteCompletions --+
    FailedRows  --> WriteFailedRows  --+--(side inputs)--> WriteReport: renames, report, _SUCCESS
    FailedCalls --> WriteFailedCalls --+

A `Part` is what leaves a bundle: the shards that it has closed, and the sum over their rows. Both
are of the same rows, so a runner that repeats a bundle replaces both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.report import Totals
from pipelines.outputs.shards.manifest import Shard
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.writer import ShardWriter
from pipelines.pages.options import PageOptions
from transforms.elements import Completion, DeadLetter
from transforms.failure_limit import Counts, FailureLimit


@dataclass(frozen=True, slots=True)
class Part:
    """What a bundle has written; `totals` is None for deltas."""

    totals: Totals | None
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True)
class Accounts:
    """How the outcomes of a job are counted: what its page shows, and how many may fail."""

    page: PageOptions = field(default_factory=PageOptions)
    limit: FailureLimit = field(default_factory=lambda: FailureLimit(None))


class Count:
    """Adds up the outcomes of a bundle; raises TooManyFailures above the limit of the job."""

    def __init__(self, accounts: Accounts) -> None:
        self._page = accounts.page
        self._limit = accounts.limit
        self._all: Counts = accounts.limit.counts.acquire(Counts)
        self.start()

    def start(self) -> None:
        """Begin with a bundle."""
        self.totals = Totals(self._page)

    def add(self, outcome: Completion | DeadLetter) -> None:
        """Count one outcome."""
        self._all.add(outcome)
        self._all.check(self._limit)
        self.totals.add(outcome)

    @property
    def rows(self) -> int:
        """The outcomes of the bundle so far."""
        return self.totals.completed + self.totals.failed


class WriteShards(beam.ParDo):  # type: ignore[misc]
    """Write outcomes to the shards `folder/KIND-RUN-*`; returns a `Part` for each bundle.

    `accounts` count the outcomes; None is for deltas, which nothing counts. Readers never see part
    of a row. What an uncommitted bundle leaves behind lies in `_unfinished/`; the end of the job
    removes it.
    """

    def __init__(
        self,
        settings: ShardSettings,
        kind: str,
        format: RowFormat,
        accounts: Accounts | None,
    ) -> None:
        super().__init__(_WriteFn(settings, kind, format, accounts))
        self.with_output_types(Part)


class _WriteFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self,
        settings: ShardSettings,
        kind: str,
        format: RowFormat,
        accounts: Accounts | None,
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._format = format
        self._accounts = accounts

    def setup(self) -> None:
        self._count = None if self._accounts is None else Count(self._accounts)
        self._writer = ShardWriter(self._settings, self._kind, self._format)

    def start_bundle(self) -> None:
        if not self._settings.at_once:
            self._writer.discard()  # of a bundle that has failed
        if self._count is not None:
            self._count.start()
        self._encode, self._write = self._format.encode, self._writer.write

    def process(self, outcome: Any) -> None:
        if self._count is not None:
            self._count.add(outcome)
        self._write(self._encode(outcome))

    def finish_bundle(self) -> Iterator[Any]:
        shards = tuple(self._writer.take())
        if shards:
            totals = None if self._count is None else self._count.totals
            yield GlobalWindows.windowed_value(Part(totals, shards))

    def teardown(self) -> None:
        self._writer.close()


class SumUp(beam.ParDo):  # type: ignore[misc]
    """Add up outcomes that are written elsewhere; returns a `Part` for each bundle."""

    def __init__(self, accounts: Accounts) -> None:
        super().__init__(_SumFn(accounts))
        self.with_output_types(Part)


class _SumFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def setup(self) -> None:
        self._count = Count(self._accounts)

    def start_bundle(self) -> None:
        self._count.start()

    def process(self, outcome: Any) -> None:
        self._count.add(outcome)

    def finish_bundle(self) -> Iterator[Any]:
        if self._count.rows:
            yield GlobalWindows.windowed_value(Part(self._count.totals))
