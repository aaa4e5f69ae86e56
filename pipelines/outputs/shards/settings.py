"""Where a run writes its shards, when it closes them, and how they become visible."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardSettings:
    """The settings of a run, for all of its workers. It can be pickled.

    A shard is closed when it has `rows` rows, or `seconds` after its first row. With `at_once` it
    gets its final name then. Set it only if the job runs in this process, on a runner that never
    repeats a bundle. Without it all shards wait for the end of the job.
    """

    folder: str
    run: str
    rows: int = 10_000
    seconds: float = 30.0
    at_once: bool = False
