"""Checks, before a job starts, that its runner can be reached and fits the options."""

from __future__ import annotations

import os
import socket
from typing import Any

from pipelines.errors import UsageError
from pipelines.filesystem import check_scheme
from pipelines.runners import flink
from pipelines.runners.addresses import is_runner_here, parse_address, pool_address
from pipelines.runners.flink import describe
from pipelines.runners.runner import PORTABLE_RUNNERS, Options, environment, runner

_START_POOL = "python -m apache_beam.runners.worker.worker_pool_main --service_port"


def check(options: Options) -> None:
    """Raise UsageError for a runner that cannot be reached or does not fit its job server."""
    given = options.get_all_options()
    if runner(options) == "dataflowrunner":
        check_scheme("--temp_location", str(given.get("temp_location") or "gs://BUCKET/tmp"))
    if runner(options) not in PORTABLE_RUNNERS:
        return
    if (endpoint := given.get("job_endpoint")) and endpoint != "embed":
        check_listener("--job_endpoint", endpoint, "start the job server there")
    if runner(options) == "flinkrunner":
        flink.check(given)
    program = given.get("prism_location")
    if program and "://" not in program and not os.path.isfile(program):
        import apache_beam as beam

        raise UsageError(
            f"--prism_location {program}: the file does not exist; build it with"
            f" go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam.__version__}"
        )
    if environment(options) == "EXTERNAL":
        _check_pool(given)


def _check_pool(given: dict[str, Any]) -> None:
    """Check the worker pool of a local runner; only a remote runner itself can reach its pool."""
    host, port = pool_address(given)
    if is_runner_here(given):
        check_listener("--environment_config", f"{host}:{port}", f"run {_START_POOL} {port} there")


def check_listener(flag: str, text: str, remedy: str) -> None:
    """Raise UsageError, which names `flag`, unless a server listens at the address `text`."""
    host, port = parse_address(flag, text)
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise UsageError(f"{flag} {text}: cannot connect ({describe(error)}); {remedy}") from None
