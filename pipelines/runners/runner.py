"""Runs a job on the runner that its options name, after checks of what cannot work there.

Most of it derives one fact from Beam's options: where the workers are (`Workers`). Files, journals
and live sources depend on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import PipelineVisitor
from apache_beam.runners.portability.job_server import StopOnExitJobServer
from apache_beam.runners.runner import PipelineState

from pipelines.errors import UsageError
from pipelines.runners import flink
from pipelines.runners.flink import describe

# These run the whole job in the process that starts it.
LOCAL_RUNNERS = frozenset({"fnapirunner", "directrunner", "bundlebaseddirectrunner"})
# These submit the job to a job server, which has options of its own.
PORTABLE_RUNNERS = frozenset({"portablerunner", "prismrunner", "flinkrunner", "sparkrunner"})
# Beam reports each final state except DONE as a failure. These two are not failures of a stream.
_ENDED_ON_REQUEST = (PipelineState.DRAINED, PipelineState.UPDATED)
_started: list[StopOnExitJobServer] = []
_START_POOL = "python -m apache_beam.runners.worker.worker_pool_main --service_port"


class Workers(Enum):
    """Where the Python code of a job runs."""

    IN_PROCESS = "threads of the process that starts the job"
    ON_MACHINE = "processes of the same machine"
    ELSEWHERE = "other machines"


def runner_flags(named: str | None) -> frozenset[str]:
    """Return the flags that only the job server of the runner `named` knows."""
    by_flink = _short(named or "") in ("flinkrunner", "portablerunner")
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


def runner(options: PipelineOptions) -> str:
    """Return the name of the runner in lower case, without its module."""
    return _short(str(options.get_all_options()["runner"] or "FnApiRunner"))


def _short(name: str) -> str:
    return name.rpartition(".")[2].lower()


def workers(options: PipelineOptions) -> Workers:
    """Return where the workers of a job with these options run."""
    given = options.get_all_options()
    if runner(options) in LOCAL_RUNNERS:
        multi = given.get("direct_running_mode") == "multi_processing"
        return Workers.ON_MACHINE if multi else Workers.IN_PROCESS
    environment = _environment(options)
    if environment == "LOOPBACK":
        separate = any("use_loopback_process_worker" in each for each in given["experiments"] or [])
        return Workers.ON_MACHINE if separate else Workers.IN_PROCESS
    if environment == "EXTERNAL" and _is_runner_here(given) and _is_here(_pool(given)[0]):
        return Workers.ON_MACHINE
    if environment == "PROCESS" and _is_runner_here(given):
        return Workers.ON_MACHINE
    return Workers.ELSEWHERE


def slots(options: PipelineOptions) -> int:
    """Return the parallelism of the runner; 1 if the options do not set it."""
    return max(1, int(options.get_all_options().get("parallelism") or 1))


def check(options: PipelineOptions) -> None:
    """Raise UsageError for a runner that cannot be reached or does not fit its job server."""
    if runner(options) not in PORTABLE_RUNNERS:
        return
    given = options.get_all_options()
    if (endpoint := given.get("job_endpoint")) and endpoint != "embed":
        check_listener("--job_endpoint", endpoint, "start the job server there")
    if runner(options) == "flinkrunner":
        flink.check(given)
    program = given.get("prism_location")
    if program and "://" not in program and not os.path.isfile(program):
        raise UsageError(
            f"--prism_location {program}: the file does not exist; build it with"
            f" go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam.__version__}"
        )
    if _environment(options) == "EXTERNAL":
        _check_pool(given)


def run(p: beam.Pipeline, options: PipelineOptions) -> None:
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
        _started.append(server)
        signal.signal(signal.SIGINT, before)


def end_at_once() -> None:
    """Stop the job servers that Beam has started: the program is about to end without cleanup."""
    for server in _started:
        server.stop()


def _cancel(result: Any, given: dict[str, Any]) -> None:
    """Cancel the job on its runner; ignores a job server that no longer exists."""
    with contextlib.suppress(Exception):
        result.cancel()
    master = str(given.get("flink_master") or "[auto]")
    if not master.startswith("["):
        flink.cancel(master, result._job_id)


def left_behind(options: PipelineOptions, kept: str) -> str:
    """Return what happens to a job with remote workers after this program stops.

    `kept` is the text about the results of a job that has ended.
    """
    if runner(options) == "flinkrunner":
        return f"the job is cancelled on the cluster{kept}"
    if runner(options) in PORTABLE_RUNNERS:
        # Beam's job server in Python does not cancel its workers.
        return f"the job server cancels the job; workers may run until their pool ends{kept}"
    return "the submitted job keeps running on its runner"


def explained(report: str) -> str | None:
    """Return the cause of a failure that a portable runner reports; None for other texts.

    The report contains Java and Python stack traces. The error of the worker's Python code is the
    useful part.
    """
    job = re.match(r"Pipeline \S+ failed in state (\w+): ", report)
    if job is None:
        return None
    report = report[job.end() :]
    if found := re.search(r"No module named '[\w.]+'", report):
        return (
            f"{found[0]} on the workers; install ritellm-beam and the packages of the job there, or"
            " add --setup_file ./setup.py"
        )
    if "Cannot run program" in report and "docker" in report:
        return (
            "the runner starts its workers with docker, which is not installed; use"
            " --environment_type LOOPBACK, or EXTERNAL with --environment_config HOST:PORT"
        )
    raised = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Unavailable|InUse): .+)$", report, re.M)
    python = [line for line in raised if "java" not in line]
    cause = python[-1].partition(" [while running")[0] if python else report.split("\n")[0]
    return f"{cause} ({job[1]})"


def traps(p: beam.Pipeline, options: PipelineOptions) -> list[str]:
    """Return warnings about options that lose rows or delay deltas without an error."""
    found = []
    if runner(options) == "directrunner":
        found.append(
            "DirectRunner chooses another runner by the content of the job, and may try to download"
            " one; use --runner FnApiRunner"
        )
    threads = options.get_all_options().get("direct_num_workers") or 1
    parallel = runner(options) in LOCAL_RUNNERS and threads != 1
    if not parallel and not _has_several_hints(p):
        return found  # a translation takes as long as building the job
    proto = p.to_runner_api()
    steps = [step for step in proto.components.transforms.values() if not step.subtransforms]
    if parallel and (name := _unbounded(proto, steps)):
        found.append(
            f"with --direct_num_workers {threads} the local runner loses rows of {name}, which"
            " defers its own work; leave the flag out"
        )
    environments = {step.environment_id for step in steps if step.environment_id}
    if len(environments) > 1:
        found.append(
            "resource hints put steps into separate environments; rows wait between them, and"
            " deltas are not live. Set hints for the whole job with --resource_hint"
        )
    return found


def _has_several_hints(p: beam.Pipeline) -> bool:
    """Return whether steps differ in their resource hints or environments."""
    seen = set()

    class Steps(PipelineVisitor):  # type: ignore[misc]
        def visit_transform(self, step: Any) -> None:
            seen.add((step.environment_id, frozenset(step.resource_hints.items())))

    p.visit(Steps())
    return len(seen) > 1


def _unbounded(proto: Any, steps: list[Any]) -> str | None:
    """Return the name of a splittable step with unbounded output, or None."""
    from apache_beam.portability.api import beam_runner_api_pb2 as api

    for step in steps:
        if step.spec.urn != "beam:transform:pardo:v1":
            continue
        splits = api.ParDoPayload.FromString(step.spec.payload).restriction_coder_id
        outputs = [proto.components.pcollections[id] for id in step.outputs.values()]
        endless = any(each.is_bounded == api.IsBounded.UNBOUNDED for each in outputs)
        if splits and endless:
            return str(step.unique_name)
    return None


def _environment(options: PipelineOptions) -> str:
    """Return how the runner starts workers, with Beam's defaults."""
    given = options.get_all_options()
    if kind := given.get("environment_type"):
        return str(kind).upper()
    own = given.get("flink_master") in ("[local]", "[auto]") and not given.get("job_endpoint")
    by_flink = runner(options) == "flinkrunner" and own
    return "LOOPBACK" if runner(options) == "prismrunner" or by_flink else "DOCKER"


def _pool(given: dict[str, Any]) -> tuple[str, int]:
    """Return the address of the worker pool; raises UsageError for a malformed one."""
    config = given.get("environment_config") or ""
    options = dict(each.partition("=")[::2] for each in given.get("environment_options") or [])
    config = config or options.get("external_service_address", "")
    if config.startswith("{"):
        try:
            config = json.loads(config)["url"]
        except (ValueError, KeyError):
            config = ""
    return _address("--environment_config", config)


def _address(flag: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition("/")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{flag} must be HOST:PORT, got {text!r}")
    return host.strip("[]"), int(port)


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _is_runner_here(given: dict[str, Any]) -> bool:
    """Return whether the runner itself is on this machine, by its addresses."""
    addresses = [given.get("job_endpoint"), given.get("flink_master")]
    named = [each for each in addresses if each and each != "embed" and each[0] != "["]
    return all(_is_here(_address("the runner's address", each)[0]) for each in named)


def _check_pool(given: dict[str, Any]) -> None:
    """Check the worker pool of a local runner; only a remote runner itself can reach its pool."""
    host, port = _pool(given)
    if _is_runner_here(given):
        check_listener("--environment_config", f"{host}:{port}", f"run {_START_POOL} {port} there")


def check_listener(flag: str, text: str, remedy: str) -> None:
    """Raise UsageError, which names `flag`, unless a server listens at the address `text`."""
    host, port = _address(flag, text)
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise UsageError(f"{flag} {text}: cannot connect ({describe(error)}); {remedy}") from None
