"""Starts a Flink cluster on this machine, completes examples/questions.jsonl on it, and stops it.

python -m examples.runners.flink_demo [flags of pipelines.batch_complete]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from examples.runners.flink import FlinkCluster
from examples.runners.processes import end_once, run
from examples.runners.tools import Missing


def main() -> int:
    """Return the exit status of the job."""
    end_once()
    given = sys.argv[1:] or ["--input", "examples/questions.jsonl", "--output", "out/flink/"]
    try:
        with tempfile.TemporaryDirectory(prefix="flink-") as folder:
            print("Starting Flink: a job manager and two task managers ...", flush=True)
            with FlinkCluster(Path(folder)) as cluster:
                print(f"Flink's web page during the run: {cluster.web}", flush=True)
                command = [sys.executable, "-m", "pipelines.batch_complete", *given]
                status = run([*command, *cluster.flags()])
                for job in cluster.jobs():
                    tasks = job["tasks"]["total"]
                    print(
                        f"Flink ran {tasks} tasks in {job['duration'] / 1000:.0f} s: {job['state']}"
                    )
        print("Flink has stopped.")
        return status
    except Missing as missing:
        print(f"flink_demo: {missing}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
