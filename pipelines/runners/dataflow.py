"""Checks before a job is submitted to Dataflow."""

from __future__ import annotations

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.errors import UsageError
from pipelines.filesystem import check_writable
from pipelines.runners.runner import runner


def check(options: PipelineOptions) -> None:
    """Raise UsageError for problems that Beam would retry for minutes or forever."""
    if runner(options) != "dataflowrunner":
        return
    google = options.view_as(GoogleCloudOptions)
    for flag in ("temp_location", "staging_location"):
        if (location := getattr(google, flag) or "").startswith("gs://"):
            check_writable(f"--{flag}", location)
    if google.update and not google.template_location:
        _check_replaced(google)


def _check_replaced(google: GoogleCloudOptions) -> None:
    from apache_beam.runners.dataflow.internal import apiclient
    from google.cloud import dataflow_v1beta3 as api

    states = (api.JobState.JOB_STATE_RUNNING, api.JobState.JOB_STATE_DRAINING)
    request = api.ListJobsRequest(project_id=google.project, location=google.region)
    jobs = apiclient.DataflowApplicationClient(google)._jobs_client.list_jobs(request)
    if not any(job.name == google.job_name and job.current_state in states for job in jobs):
        raise UsageError(
            f"--update: no job {google.job_name!r} runs in {google.region} of {google.project};"
            " check --job_name, or leave out --update to start a new job"
        )
