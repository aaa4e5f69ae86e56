"""Makes the Beam pipeline of a program, and tells whether it runs in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.filesystem import reason
from pipelines.runners.runner import LOCAL_RUNNERS, Options, Workers, runner, workers

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions


def runs_here(options: Options) -> bool:
    """Return whether the workers of the job are this process or its children."""
    return runner(options) in LOCAL_RUNNERS or workers(options) is Workers.IN_PROCESS


def shares_process(options: Options) -> bool:
    """Return whether all workers are threads of this process: a shuffle would gain nothing."""
    return runner(options) in LOCAL_RUNNERS and workers(options) is Workers.IN_PROCESS


def never_repeats(options: Options) -> bool:
    """Return whether a bundle runs once, in this process: it may publish what it has.

    `DirectRunner` may choose a runner that repeats a bundle after an error.
    """
    repeats = options.get_all_options().get("direct_runner_bundle_repeat")
    return runner(options) == "fnapirunner" and shares_process(options) and not repeats


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline; raises UsageError for a runner that is not installed."""
    import apache_beam as beam

    try:
        return beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
        # Beam reports all its invalid options in one error.
        _, of_options, found = reason(error).partition("Pipeline has validations errors: ")
        raise UsageError(found if of_options else f"--runner: {reason(error)}") from None
