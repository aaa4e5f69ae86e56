"""Where a job's workers are, as its options have it, and what cannot work there."""

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
from apache_beam.runners.portability.job_server import StopOnExitJobServer
from apache_beam.runners.runner import PipelineState

from pipelines.errors import UsageError
from pipelines.runners import flink
from pipelines.runners.flink import said

# These run the whole job inside the process that starts it.
LOCAL_RUNNERS = frozenset({"fnapirunner", "directrunner", "bundlebaseddirectrunner"})
# These hand it to a job server, which has options of its own.
PORTABLE_RUNNERS = frozenset({"portablerunner", "prismrunner", "flinkrunner", "sparkrunner"})
# Beam takes every end but DONE for a failure; so ends a stream when somebody wants it to.
_ENDED_AS_WANTED = (PipelineState.DRAINED, PipelineState.UPDATED)
_started: list[StopOnExitJobServer] = []
_START_POOL = "python -m apache_beam.runners.worker.worker_pool_main --service_port"


class Workers(Enum):
    """Where the Python code of a job runs."""

    IN_PROCESS = "threads of the process that starts the job"
    ON_MACHINE = "processes of the same machine"
    ELSEWHERE = "other machines"


def runner_flags(named: str | None) -> frozenset[str]:
    """Return the flags that only the job server of the runner `named` so knows."""
    by_flink = _short(named or "") in ("flinkrunner", "portablerunner")
    return flink.FLAGS if by_flink else frozenset()


def with_defaults(argv: Sequence[str]) -> list[str]:
    """Return `argv`, and what a job that goes on for ever needs besides on the engine named there.

    With checkpoints Flink else keeps what a bundle brings while one is made until the next bundle
    comes: for a source that speaks once, that is never.
    """
    flag = "--finish_bundle_before_checkpointing"
    named = any("checkpointing_interval" in each for each in argv)
    given = any(each.startswith(flag) for each in argv)
    return [*argv, flag] if named and not given else list(argv)


def runner(options: PipelineOptions) -> str:
    """Return the runner's name, in small letters and without its module."""
    return _short(str(options.get_all_options()["runner"] or "FnApiRunner"))


def _short(named: str) -> str:
    return named.rpartition(".")[2].lower()


def workers(options: PipelineOptions) -> Workers:
    """Return where the workers of a job with these options will be."""
    given = options.get_all_options()
    if runner(options) in LOCAL_RUNNERS:
        multi = given.get("direct_running_mode") == "multi_processing"
        return Workers.ON_MACHINE if multi else Workers.IN_PROCESS
    environment = _environment(options)
    if environment == "LOOPBACK":
        apart = any("use_loopback_process_worker" in each for each in given["experiments"] or [])
        return Workers.ON_MACHINE if apart else Workers.IN_PROCESS
    if environment == "EXTERNAL" and _is_engine_here(given) and _is_here(_pool(given)[0]):
        return Workers.ON_MACHINE
    if environment == "PROCESS" and _is_engine_here(given):
        return Workers.ON_MACHINE
    return Workers.ELSEWHERE


def slots(options: PipelineOptions) -> int:
    """Return in how many places at once the engine works; 1 if that is not said."""
    return max(1, int(options.get_all_options().get("parallelism") or 1))


def check(options: PipelineOptions) -> None:
    """Raise UsageError for an engine that is not there, or that does not fit its job server."""
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
            f"--prism_location {program}: there is no such file; build it with"
            f" go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam.__version__}"
        )
    if _environment(options) == "EXTERNAL":
        _check_pool(given)


def run(p: beam.Pipeline, options: PipelineOptions) -> None:
    """Run the job to its end. Ctrl-C ends it where it runs, unless it was only submitted there."""
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
        if runner(options) != "dataflowrunner" or result.state not in _ENDED_AS_WANTED:
            raise


@contextlib.contextmanager
def _own_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C mean what it did before the block, in which Beam may start a job server.

    Beam would end that first, and ask then: a stream could not let its answers end. Ctrl-C once
    more, meanwhile, hung there for ever.
    """
    before = signal.getsignal(signal.SIGINT)
    yield
    beams = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if isinstance(beams, StopOnExitJobServer):
        _started.append(beams)
        signal.signal(signal.SIGINT, before)


def end_at_once() -> None:
    """End what Beam has started for this program, which is about to end without a goodbye."""
    for server in _started:
        server.stop()


def _cancel(result: Any, given: dict[str, Any]) -> None:
    """Have the job end where it runs; a job server that is gone cannot be told."""
    with contextlib.suppress(Exception):
        result.cancel()
    master = str(given.get("flink_master") or "[auto]")
    if not master.startswith("["):
        flink.cancel(master, result._job_id)


def left_behind(options: PipelineOptions, kept: str) -> str:
    """Return what becomes of a job that was stopped here and has its workers elsewhere.

    `kept` is what is told of one that has ended.
    """
    if runner(options) == "flinkrunner":
        return f"the job is cancelled where it ran{kept}"
    if runner(options) in PORTABLE_RUNNERS:  # Beam's own in Python does not tell its workers
        return f"the job server was told; workers that go on end with their worker pool{kept}"
    return "a job that was submitted goes on where it runs"


def explained(said: str) -> str | None:
    """Return in one line what an engine said of its failure; None if it was none of these engines.

    It tells of Java's and of Python's stacks: what the worker's code raised is what helps.
    """
    job = re.match(r"Pipeline \S+ failed in state (\w+): ", said)
    if job is None:
        return None
    said = said[job.end() :]
    if found := re.search(r"No module named '[\w.]+'", said):
        return (
            f"{found[0]} on the workers: install ritellm-beam and all that the job uses there, or"
            " bring it along with --setup_file ./setup.py"
        )
    if "Cannot run program" in said and "docker" in said:
        return (
            "this engine starts its workers by docker, which is not there: choose others with"
            " --environment_type LOOPBACK, or EXTERNAL and --environment_config HOST:PORT"
        )
    raised = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Unavailable|InUse): .+)$", said, re.M)
    python = [line for line in raised if "java" not in line]
    heart = python[-1].partition(" [while running")[0] if python else said.split("\n")[0]
    return f"{heart} ({job[1]})"


def traps(p: beam.Pipeline, options: PipelineOptions) -> list[str]:
    """Return warnings of what goes wrong silently with this pipeline and these options."""
    found = []
    if runner(options) == "directrunner":
        found.append(
            "DirectRunner chooses its engine by what is in the job, and may look for one to"
            " download: use --runner FnApiRunner"
        )
    proto = p.to_runner_api()
    steps = [step for step in proto.components.transforms.values() if not step.subtransforms]
    threads = options.get_all_options().get("direct_num_workers") or 1
    if runner(options) in LOCAL_RUNNERS and threads != 1 and (name := _unbounded(proto, steps)):
        found.append(
            f"with --direct_num_workers {threads} the local engine loses rows of {name}, which goes"
            " on by itself: leave the flag out"
        )
    environments = {step.environment_id for step in steps if step.environment_id}
    if len(environments) > 1:
        found.append(
            "resource hints put steps into environments of their own: rows wait at each border, and"
            " deltas are not live (give hints for the whole job, by --resource_hint)"
        )
    return found


def _unbounded(proto: Any, steps: list[Any]) -> str | None:
    """Return the name of a splittable step whose output has no end, or None."""
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
    """Return how workers are started; what Beam takes where nothing is said."""
    given = options.get_all_options()
    if kind := given.get("environment_type"):
        return str(kind).upper()
    own = given.get("flink_master") in ("[local]", "[auto]") and not given.get("job_endpoint")
    by_flink = runner(options) == "flinkrunner" and own
    return "LOOPBACK" if runner(options) == "prismrunner" or by_flink else "DOCKER"


def _pool(given: dict[str, Any]) -> tuple[str, int]:
    """Return the worker pool's address; raises UsageError for what is none."""
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
        raise UsageError(f"{flag} {text!r} is no address: write HOST:PORT")
    return host.strip("[]"), int(port)


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _is_engine_here(given: dict[str, Any]) -> bool:
    """Return whether the engine itself is on this machine, as far as its addresses tell."""
    places = [given.get("job_endpoint"), given.get("flink_master")]
    named = [place for place in places if place and place != "embed" and place[0] != "["]
    return all(_is_here(_address("engine", place)[0]) for place in named)


def _check_pool(given: dict[str, Any]) -> None:
    """An address beside a remote engine is the engine's to reach, and cannot be tried from here."""
    host, port = _pool(given)
    if _is_engine_here(given):
        check_listener("--environment_config", f"{host}:{port}", f"run {_START_POOL} {port} there")


def check_listener(flag: str, text: str, remedy: str) -> None:
    """Raise UsageError, which names `flag`, unless a server listens at the address `text`."""
    host, port = _address(flag, text)
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise UsageError(f"{flag} {text}: nothing answers ({said(error)}); {remedy}") from None
