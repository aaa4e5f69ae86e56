"""The batch job as a user runs it, in a process of its own that can be killed or made to break."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Jobs are forked from a process that has Beam imported: a start costs no seconds.
_START = multiprocessing.get_context("forkserver")
_START.set_forkserver_preload(["pipelines.batch_complete"])


def started(
    argv: Sequence[str], log: Path, breaks_after: int | None = None, redis_tries: int | None = None
) -> BaseProcess:
    """Return a job that has been started.

    `breaks_after` so many rows have come out, a consumer that is fused to the model's transform
    raises. `redis_tries` is the patience of a required journal in Redis. What the job prints goes
    to `log`.
    """
    job = _START.Process(target=_run, args=(list(argv), str(log), breaks_after, redis_tries))
    job.start()
    return job


def _run(
    argv: list[str], log: str, breaks_after: int | None, redis_tries: int | None = None
) -> None:
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, sys.stdout.fileno())
    os.dup2(sink, sys.stderr.fileno())
    from pipelines import batch_complete, batch_job
    from pipelines.outputs.formats import jsonl

    # The command line has no flags for these: a chaos run would wait two minutes for its stalls.
    from ritellm import RetryPolicy
    from transforms.connections import redis

    batch_job.CompletePrompts = functools.partial(  # type: ignore[assignment,misc]
        batch_job.CompletePrompts, timeout=3, retry=RetryPolicy(5, first_delay=0.05)
    )
    if redis_tries is not None:
        redis.PATIENT = redis_tries
    if breaks_after is not None:
        jsonl.to_bytes = _breaking(jsonl.to_bytes, breaks_after)
    batch_complete.main(argv)


def _breaking(to_bytes: Any, after: int) -> Any:
    left = iter(range(after))

    def breaking(element: Any) -> bytes:
        if next(left, None) is None:
            raise RuntimeError("a worker breaks")
        line: bytes = to_bytes(element)
        return line

    return breaking
