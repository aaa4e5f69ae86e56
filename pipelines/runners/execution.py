"""Runs a job on its runner to the end, or cancels it after Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.runners.portability.job_server import StopOnExitJobServer
from apache_beam.runners.runner import PipelineState

from pipelines.runners import flink
from pipelines.runners.runner import PORTABLE_RUNNERS, Options, runner
from pipelines.runners.traps import traps
from pipelines.shutdown import on_sudden_end

# Beam reports each final state except DONE as a failure. These two are not failures of a stream.
_ENDED_ON_REQUEST = (PipelineState.DRAINED, PipelineState.UPDATED)


def run(p: beam.Pipeline, options: Options) -> None:
    """Run the job to its end. Ctrl-C cancels it, unless this program has only submitted it."""
    for trap in traps(p, options):
        print(f"WARNING: {trap}", file=sys.stderr, flush=True)
    with _own_ctrl_c():
        result = p.run()
    try:
        result.wait_until_finish()
    except KeyboardInterrupt:
        if runner(options) in PORTABLE_RUNNERS:
            _cancel(result, options.get_all_options())
        raise
    except Exception:
        if runner(options) != "dataflowrunner" or result.state not in _ENDED_ON_REQUEST:
            raise


@contextlib.contextmanager
def _own_ctrl_c() -> Iterator[None]:
    """Restore the handler of Ctrl-C after the block, in which Beam may start a job server.

    Beam's handler stops the job server first and cancels the job afterwards. A stream could not
    finish its completions, and a second Ctrl-C would hang forever.
    """
    before = signal.getsignal(signal.SIGINT)
    yield
    server = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if isinstance(server, StopOnExitJobServer):
        on_sudden_end(server.stop)
        signal.signal(signal.SIGINT, before)


def _cancel(result: Any, given: dict[str, Any]) -> None:
    """Cancel the job on its runner; ignores a job server that no longer exists."""
    with contextlib.suppress(Exception):
        result.cancel()
    master = str(given.get("flink_master") or "[auto]")
    if not master.startswith("["):
        flink.cancel(master, result._job_id)
