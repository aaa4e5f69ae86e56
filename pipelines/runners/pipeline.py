"""The Beam pipeline that a program runs, and where it runs."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.errors import UsageError
from pipelines.filesystem import reason
from pipelines.runners.runner import LOCAL_RUNNERS, Workers, runner, workers


def runs_here(options: PipelineOptions) -> bool:
    """Return whether the workers of the job are this process, or its children."""
    return runner(options) in LOCAL_RUNNERS or workers(options) is Workers.IN_PROCESS


def shares_process(options: PipelineOptions) -> bool:
    """Return whether the job is one stage in this process: nothing is gained by spreading rows."""
    return runner(options) in LOCAL_RUNNERS and workers(options) is Workers.IN_PROCESS


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline; raises UsageError for a runner that is not to be had."""
    try:
        return beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
        # Beam says in one error what is wrong with its own options.
        _, of_options, found = reason(error).partition("Pipeline has validations errors: ")
        raise UsageError(found if of_options else f"--runner: {reason(error)}") from None
