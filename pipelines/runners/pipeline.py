"""Makes the Beam pipeline of a program, and tells whether it runs in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.filesystem import reason
from pipelines.runners.runner import LOCAL_RUNNERS, Options, Workers, runner, workers

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

_NEVER_REPEATS = frozenset({"fnapirunner", "prismrunner"})
# `DirectRunner` is left out: it is for short jobs, which a shuffle would delay.
_KEEPS_COMMITS = frozenset({"bundlebaseddirectrunner", "dataflowrunner"})


def runs_here(options: Options) -> bool:
    """Return whether the workers of the job are this process or its children."""
    return runner(options) in LOCAL_RUNNERS or workers(options) is Workers.IN_PROCESS


def shares_process(options: Options) -> bool:
    """Return whether all workers are threads of this process: a shuffle would gain nothing."""
    return runner(options) in LOCAL_RUNNERS and workers(options) is Workers.IN_PROCESS


def never_repeats(options: Options) -> bool:
    """Return whether each bundle runs once, so that it may publish what it has.

    The local runner and Prism end the job when a bundle fails. `DirectRunner` may choose another
    one, which repeats the bundle.
    """
    repeats = options.get_all_options().get("direct_runner_bundle_repeat")
    return runner(options) in _NEVER_REPEATS and not repeats


def keeps_commits(options: Options) -> bool:
    """Return whether a committed bundle is final, so that what it wrote may be published.

    Flink and Spark start a whole batch again when a worker dies: nothing is final before its end.
    """
    return runner(options) in _KEEPS_COMMITS


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline; raises UsageError for a runner that is not installed."""
    import apache_beam as beam

    try:
        return beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
        # Beam reports all its invalid options in one error.
        _, of_options, found = reason(error).partition("Pipeline has validations errors: ")
        raise UsageError(found if of_options else f"--runner: {reason(error)}") from None
