"""The cause of a failure in the report of a runner that runs elsewhere."""

from __future__ import annotations

import re


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
