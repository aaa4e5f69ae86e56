"""Talks to a Flink cluster over its REST interface: checks the version, cancels jobs."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from pipelines.errors import UsageError

# The options of Beam's job server for Flink, which Beam for Python knows only once it runs.
FLAGS = frozenset(
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
# A submitted job appears on the cluster within this time.
_APPEARS_SECONDS = 10.0
_ENDED = ("FINISHED", "FAILED", "CANCELED")


def check(given: dict[str, Any]) -> None:
    """Raise UsageError unless the cluster responds and has the version of its job server."""
    master = str(given.get("flink_master") or "[auto]")
    if master.startswith("["):
        return
    try:
        there = str(_call(master, "/config")["flink-version"])
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"--flink_master {master}: no Flink cluster responds ({describe(error)}); use the"
            " address of its web page, HOST:PORT"
        ) from None
    wanted = _version_of_job_server(given)
    if wanted and not there.startswith(f"{wanted}."):
        raise UsageError(
            f"the cluster runs Flink {there}, but the job server is for Flink {wanted}; use"
            f" beam-runners-flink-{'.'.join(there.split('.')[:2])}-job-server"
        )


def _version_of_job_server(given: dict[str, Any]) -> str | None:
    """Return the Flink version in the name of the jar; None if it is unknown."""
    if given.get("job_endpoint"):
        return None
    if jar := given.get("flink_job_server_jar"):
        found = re.search(r"flink-(\d+\.\d+)-job-server", jar.rpartition("/")[2])
        return found[1] if found else None
    return str(given.get("flink_version") or "") or None


def cancel(master: str, job_id: str) -> bool:
    """Cancel the job that Beam calls `job_id` on the cluster; return whether that worked.

    Beam's job server ends its own part only. The job on the cluster would continue and cost money.
    """
    name = job_id.rpartition("_")[0]
    until = time.monotonic() + _APPEARS_SECONDS
    while time.monotonic() < until:
        try:
            jobs = [job for job in _call(master, "/jobs/overview")["jobs"] if job["name"] == name]
            for job in jobs:
                if job["state"] not in _ENDED:
                    _call(master, f"/jobs/{job['jid']}?mode=cancel", method="PATCH")
        except (OSError, ValueError, KeyError):
            return False
        if jobs:
            return True
        time.sleep(0.5)
    return False


def _call(master: str, path: str, method: str = "GET") -> Any:
    """Return the JSON response of the cluster for `path`."""
    import urllib.request  # slow, and other runners do not need it

    url = master if "://" in master else f"http://{master}"
    request = urllib.request.Request(f"{url.rstrip('/')}{path}", method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read() or b"null")


def describe(error: Exception) -> str:
    """Return the reason of a connection error in a few words."""
    reason = getattr(error, "reason", error)  # of URLError
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
