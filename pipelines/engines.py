"""Where a job's workers are, as its options have it, and what cannot work there."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import urllib.error
import urllib.request
from enum import Enum
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

# These run the whole job inside the process that starts it.
LOCAL_RUNNERS = frozenset({"fnapirunner", "directrunner", "bundlebaseddirectrunner"})
# These hand it to a job server, which has options of its own.
PORTABLE_RUNNERS = frozenset({"portablerunner", "prismrunner", "flinkrunner", "sparkrunner"})
# What Beam's job server for Flink takes, and Beam for Python does not know before it has asked it.
FLINK_FLAGS = frozenset(
    f"--{name}"
    for name in (
        "allow_non_restored_state attached_mode auto_balance_write_files_sharding_enabled"
        " auto_watermark_interval checkpoint_timeout_millis checkpointing_interval"
        " checkpointing_mode disable_metrics enable_stable_input_drain execution_mode_for_batch"
        " execution_retry_delay externalized_checkpoints_enabled fail_on_checkpointing_errors"
        " faster_copy file_input_split_max_size_m_b files_to_stage"
        " finish_bundle_before_checkpointing flink_conf_dir force_unaligned_checkpoint_enabled"
        " job_check_interval_in_secs"
        " latency_tracking_interval load_balance_bundles max_bundle_size max_bundle_time_mills"
        " min_pause_between_checkpoints num_concurrent_checkpoints number_of_execution_retries"
        " object_reuse operator_chaining re_iterable_group_by_key_result"
        " report_checkpoint_duration retain_externalized_checkpoints_on_cancellation"
        " savepoint_path shutdown_sources_after_idle_ms state_backend state_backend_factory"
        " state_backend_storage_path unaligned_checkpoint_enabled use_data_stream_for_batch"
    ).split()
)
# Beam takes every end but DONE for a failure; so ends a stream when somebody wants it to.
_ENDED_AS_WANTED = (PipelineState.DRAINED, PipelineState.UPDATED)
_START_POOL = "python -m apache_beam.runners.worker.worker_pool_main --service_port"


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line."""


class Workers(Enum):
    """Where the Python code of a job runs."""

    IN_PROCESS = "threads of the process that starts the job"
    ON_MACHINE = "processes of the same machine"
    ELSEWHERE = "other machines"


def engine_flags(named: str | None) -> frozenset[str]:
    """Return the flags that only the job server of the runner `named` so knows."""
    flink = _short(named or "") in ("flinkrunner", "portablerunner")
    return FLINK_FLAGS if flink else frozenset()


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


def check(options: PipelineOptions) -> None:
    """Raise UsageError for an engine that is not there, or that does not fit its job server."""
    if runner(options) not in PORTABLE_RUNNERS:
        return
    given = options.get_all_options()
    if (endpoint := given.get("job_endpoint")) and endpoint != "embed":
        check_listener("--job_endpoint", endpoint, "start the job server there")
    if runner(options) == "flinkrunner":
        _check_flink(given)
    program = given.get("prism_location")
    if program and "://" not in program and not os.path.isfile(program):
        raise UsageError(
            f"--prism_location {program}: there is no such file; build it with"
            f" go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam.__version__}"
        )
    if _environment(options) == "EXTERNAL":
        _check_pool(given)


def run(p: beam.Pipeline, options: PipelineOptions) -> None:
    """Run the job to its end. One whose workers are this process ends with it, on Ctrl-C too."""
    for trap in traps(p, options):
        print(f"WARNING: {trap}", file=sys.stderr, flush=True)
    result = p.run()
    try:
        result.wait_until_finish()
    except KeyboardInterrupt:
        if runner(options) in PORTABLE_RUNNERS and workers(options) is Workers.IN_PROCESS:
            result.cancel()
        raise
    except Exception:
        if runner(options) != "dataflowrunner" or result.state not in _ENDED_AS_WANTED:
            raise


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
        raise UsageError(f"{flag} {text}: nothing answers ({_said(error)}); {remedy}") from None


def _check_flink(given: dict[str, Any]) -> None:
    """Hold the job server that is to be started against the version of the cluster."""
    master = str(given.get("flink_master") or "[auto]")
    if master.startswith("["):
        return
    url = master if "://" in master else f"http://{master}"
    try:
        with urllib.request.urlopen(f"{url}/config", timeout=10) as answer:
            there = str(json.loads(answer.read())["flink-version"])
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"--flink_master {master}: no Flink answers there ({_said(error)}); give the address of"
            " its web page, HOST:PORT"
        ) from None
    wanted = _version_of_job_server(given)
    if wanted and not there.startswith(f"{wanted}."):
        raise UsageError(
            f"the cluster runs Flink {there}, the job server is for Flink {wanted}: take"
            f" beam-runners-flink-{'.'.join(there.split('.')[:2])}-job-server"
        )


def _version_of_job_server(given: dict[str, Any]) -> str | None:
    """Return Flink's version as the jar's name has it; None if nobody can tell."""
    if given.get("job_endpoint"):
        return None
    if jar := given.get("flink_job_server_jar"):
        found = re.search(r"flink-(\d+\.\d+)-job-server", jar.rpartition("/")[2])
        return found[1] if found else None
    return str(given.get("flink_version") or "") or None


def _said(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
