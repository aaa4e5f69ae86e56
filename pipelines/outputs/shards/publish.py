"""Makes shards visible: lists them in the manifest, then gives them their final names.

The problem: a runner with many workers may repeat a bundle after an error. The rows of both
attempts would be readable, some of them twice.

The idea, in two phases, as in Beam's own file sinks: a bundle writes unfinished files, and what it
has written leaves it as a `Part`. A shuffle is the barrier: the step behind it receives the parts
of committed bundles only, each once. That step publishes.

    WriteCompletions --+
    WriteFailedRows  --+--> shuffle --> list, rename --(side inputs)--> Finish
    WriteFailedCalls --+

What holds:

- Publishing can be repeated: the same shards get the same names, and a renamed file stays.
- A bundle that is repeated has other file names. Files of an attempt that was not committed stay in
  `_unfinished/`, without a `Part`, so no reader ever sees them.
- The worker removes the files of a failed bundle when it starts the next one. The end of the job
  removes what is left, and the next job in the folder what a worker wrote even later.

When the barrier opens is the runner's decision. Dataflow opens it in a batch job when all bundles
are done, and then its workers rename in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from pipelines.outputs.shards.manifest import Manifest, Shard
from pipelines.outputs.shards.names import REPORT
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.shard import explained
from pipelines.outputs.shards.storage import storage_of
from pipelines.outputs.shards.write import Part

# Shards that are listed together: in a bucket each list is an object.
_TOGETHER = 1_000


def publish(settings: ShardSettings, shards: Sequence[Shard]) -> None:
    """List the shards that have their unfinished names, and rename them."""
    storage = storage_of(settings.folder)
    with explained(settings.folder, REPORT):
        if shards:
            Manifest(settings.folder, settings.run, alone=settings.alone).add(shards)
        for shard in shards:
            storage.publish(shard.name)


class PublishShards(beam.PTransform):  # type: ignore[misc]
    """Publish the shards of committed bundles.

    Its input are PCollections of `Part`, by any names. Its output are the same parts; all their
    shards are visible.
    """

    def __init__(self, settings: ShardSettings) -> None:
        super().__init__()
        self._settings = settings

    def expand(self, parts: Mapping[str, Any]) -> Any:
        """Shuffle, and publish."""
        publishing = beam.ParDo(_PublishFn(self._settings)).with_output_types(Part)
        together = tuple(parts.values()) | beam.Flatten()
        return together | "Committed" >> beam.Reshuffle() | "Publish" >> publishing


class _PublishFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, settings: ShardSettings) -> None:
        self._settings = settings

    def start_bundle(self) -> None:
        self._parts: list[Part] = []

    def process(self, part: Part) -> Iterator[Any]:
        self._parts.append(part)
        if sum(len(each.shards) for each in self._parts) >= _TOGETHER:
            yield from self.finish_bundle()

    def finish_bundle(self) -> Iterator[Any]:
        parts, self._parts = self._parts, []
        publish(self._settings, [shard for part in parts for shard in part.shards])
        yield from map(GlobalWindows.windowed_value, parts)
