"""What Beam's options say about the runner of a job, above all where its workers are.

Files, journals and live sources depend on where the workers are (`Workers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

from pipelines.runners import flink
from pipelines.runners.addresses import is_here, is_runner_here, pool_address

# These run the whole job in the process that starts it.
LOCAL_RUNNERS = frozenset({"fnapirunner", "directrunner", "bundlebaseddirectrunner"})
# These submit the job to a job server, which has options of its own.
PORTABLE_RUNNERS = frozenset({"portablerunner", "prismrunner", "flinkrunner", "sparkrunner"})


class Options(Protocol):
    """Beam's options of a job: Beam's own `PipelineOptions`, or `pipelines.cli.job_options`."""

    def get_all_options(self) -> dict[str, Any]:
        """Return the values by name."""


class Workers(Enum):
    """Where the Python code of a job runs."""

    IN_PROCESS = "threads of the process that starts the job"
    ON_MACHINE = "processes of the same machine"
    ELSEWHERE = "other machines"


def runner_flags(named: str | None) -> frozenset[str]:
    """Return the flags that only the job server of the runner `named` knows."""
    by_flink = short_name(named or "") in ("flinkrunner", "portablerunner")
    return flink.FLAGS if by_flink else frozenset()


def with_defaults(argv: Sequence[str]) -> list[str]:
    """Return `argv` with the flags that an endless job needs on its runner.

    During a checkpoint Flink keeps the outputs of a bundle until the next bundle starts. If the
    source sends nothing more, that is never. The added flag finishes the bundle first.
    """
    flag = "--finish_bundle_before_checkpointing"
    named = any("checkpointing_interval" in each for each in argv)
    given = any(each.startswith(flag) for each in argv)
    return [*argv, flag] if named and not given else list(argv)


def runner(options: Options) -> str:
    """Return the name of the runner in lower case, without its module."""
    return short_name(str(options.get_all_options()["runner"] or "FnApiRunner"))


def short_name(name: str) -> str:
    """Return the name of a runner in lower case, without its module."""
    return name.rpartition(".")[2].lower()


def workers(options: Options) -> Workers:
    """Return where the workers of a job with these options run."""
    given = options.get_all_options()
    if runner(options) in LOCAL_RUNNERS:
        multi = given.get("direct_running_mode") == "multi_processing"
        return Workers.ON_MACHINE if multi else Workers.IN_PROCESS
    start = environment(options)
    if start == "LOOPBACK":
        separate = any("use_loopback_process_worker" in each for each in given["experiments"] or [])
        return Workers.ON_MACHINE if separate else Workers.IN_PROCESS
    if start == "EXTERNAL" and is_runner_here(given) and is_here(pool_address(given)[0]):
        return Workers.ON_MACHINE
    if start == "PROCESS" and is_runner_here(given):
        return Workers.ON_MACHINE
    return Workers.ELSEWHERE


def slots(options: Options) -> int:
    """Return the parallelism of the runner; 1 if the options do not set it."""
    return max(1, int(options.get_all_options().get("parallelism") or 1))


def left_behind(options: Options, kept: str) -> str:
    """Return what happens to a job with remote workers after this program stops.

    `kept` is the text about the results of a job that has ended.
    """
    if runner(options) == "flinkrunner":
        return f"the job is cancelled on the cluster{kept}"
    if runner(options) in PORTABLE_RUNNERS:
        # Beam's job server in Python does not cancel its workers.
        return f"the job server cancels the job; workers may run until their pool ends{kept}"
    return "the submitted job keeps running on its runner"


def environment(options: Options) -> str:
    """Return how the runner starts workers, with Beam's defaults."""
    given = options.get_all_options()
    if kind := given.get("environment_type"):
        return str(kind).upper()
    own = given.get("flink_master") in ("[local]", "[auto]") and not given.get("job_endpoint")
    by_flink = runner(options) == "flinkrunner" and own
    return "LOOPBACK" if runner(options) == "prismrunner" or by_flink else "DOCKER"
