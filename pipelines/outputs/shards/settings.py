"""Where a run writes its shards, when it closes them, and how they become visible."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardSettings:
    """The settings of a run, for all of its workers. It can be pickled.

    A shard is closed when it has `rows` rows, or `seconds` after its first row. It gets its final
    name

    - then, with `at_once`: for runners that never repeat a bundle.
    - with `at_commit` when its bundle has been committed: for runners that may repeat a bundle, but
      never a committed one. The end of a bundle closes a shard, too.
    - otherwise at the end of the job.

    `alone` says that one process writes all shards.
    """

    folder: str
    run: str
    rows: int = 10_000
    seconds: float = 30.0
    at_once: bool = False
    at_commit: bool = False
    alone: bool = False
