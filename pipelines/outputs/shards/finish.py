"""Ends a run: the last shards get their names, then come the report and `_SUCCESS`.

The order is that in which a reader may rely on it, and a repeated attempt finds the same:

1. All shards are listed in the manifest and have their final names. Most runners have published
   them before (`writer.py`, `publish.py`); on the others this step does.
2. The manifest gets its last line: the run is complete.
3. What earlier runs left goes: their shards, as listed, and unfinished files.
4. `report.html` and then `report.json` replace those of the earlier run. `report.json` lists the
   shards under `files`.
5. `_SUCCESS` appears.

Each of these steps can be repeated. So a worker that dies here costs nothing: the runner repeats
the bundle. The side inputs are a barrier: a runner computes them from committed bundles, each once.
A bundle that was repeated has left unfinished files that no `Part` names, which step 3 removes. A
worker that was cut off may write such a file even later. Readers do not see it, and the next job in
the folder removes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import apache_beam as beam

from pipelines.outputs import folder as folders
from pipelines.outputs.report import Reported, Totals
from pipelines.outputs.shards.manifest import Manifest, Shard
from pipelines.outputs.shards.names import REPORT, SUCCESS
from pipelines.outputs.shards.ordered import Spooled
from pipelines.outputs.shards.publish import publish
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.shard import explained
from pipelines.outputs.shards.storage import storage_of, write_whole
from pipelines.outputs.shards.write import Part
from pipelines.pages.files import write_page
from pipelines.pages.options import PageOptions


@dataclass(frozen=True)
class About:
    """What the end of a run tells of it: facts for the report and the manifest; its page."""

    report: Mapping[str, Any]
    run: Mapping[str, Any]
    page: PageOptions = field(default_factory=PageOptions)


class Finish(beam.PTransform):  # type: ignore[misc]
    """End the run once all parts are there.

    Its input are PCollections of `Part`, `Pacing` and `UnusedColumn`, by any names. The rows of
    `spooled` are sorted and written first.
    """

    def __init__(
        self, settings: ShardSettings, about: About, spooled: Sequence[Spooled] = ()
    ) -> None:
        super().__init__()
        self._finish = _FinishFn(settings, about, spooled)

    def expand(self, parts: Mapping[str, Any]) -> Any:
        """Wait for all parts."""
        inputs = list(parts.values())
        sides = [beam.pvalue.AsIter(each) for each in inputs]
        once = inputs[0].pipeline | "Once" >> beam.Impulse()
        return once | "Write" >> beam.ParDo(self._finish, *sides)


class _FinishFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, settings: ShardSettings, about: About, spooled: Sequence[Spooled]) -> None:
        self._settings = settings
        self._about = about
        self._spooled = spooled

    def process(self, _: bytes, *parts: Iterable[Part | Reported]) -> Iterator[str]:
        if not self._settings.alone:
            storage_of(self._settings.folder).prepare()
        total = Totals(self._about.page)
        shards = _add(chain.from_iterable(parts), total)
        published = self._settings.at_once or self._settings.at_commit
        waiting = [] if published else list(shards)
        for spooled in self._spooled:
            written = spooled.write(self._settings)
            waiting += written
            shards += written
        publish(self._settings, waiting)
        end_run(self._settings, self._about, total, shards)
        yield self._settings.folder


def _add(parts: Iterable[Part | Reported], total: Totals) -> list[Shard]:
    """Add all parts to `total`, and return their shards."""
    shards: list[Shard] = []
    for part in parts:
        if not isinstance(part, Part):
            total.add(part)
            continue
        shards += part.shards
        if part.totals is not None:
            total.merge(part.totals)
    return shards


def end_run(settings: ShardSettings, about: About, total: Totals, shards: Sequence[Shard]) -> None:
    """Take steps 2 to 5; each may have been taken before."""
    folder, storage = settings.folder, storage_of(settings.folder)
    files = sorted(shard.name for shard in shards)
    report = {"run": settings.run, **about.report, **total.as_dict(), "files": files}
    with explained(folder, REPORT):
        earlier = folders.earlier_outputs(folder, settings.run, files)
        Manifest(folder, settings.run, alone=settings.alone).end(about.run, shards)
        earlier.remove()
        write_page(folder, report, total.details, about.page)
        folders.write_report(folder, report)
        write_whole(storage, SUCCESS, b"")
        folders.remove_unfinished(folder)


def begin_run(settings: ShardSettings, run_facts: Mapping[str, Any]) -> None:
    """Begin the manifest, and remove the `_SUCCESS` of an earlier run and unfinished files."""
    with explained(settings.folder, SUCCESS):
        storage_of(settings.folder).prepare()
        folders.remove_unfinished(settings.folder)
        storage_of(settings.folder).remove([SUCCESS])
        Manifest(settings.folder, settings.run, alone=settings.alone).begin(run_facts)
