"""Start a Flink cluster on this machine, complete examples/questions.jsonl on it, stop all.

python -m examples.engines.flink_demo [flags of pipelines.batch_complete]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from examples.engines.flink import FlinkCluster
from examples.engines.processes import end_once, run
from examples.engines.tools import Missing


def main() -> int:
    """Return the exit status of the job."""
    end_once()
    given = sys.argv[1:] or ["--input", "examples/questions.jsonl", "--output", "out/flink/"]
    try:
        with tempfile.TemporaryDirectory(prefix="flink-") as folder:
            print("Starting Flink: a job manager and two task managers ...", flush=True)
            with FlinkCluster(Path(folder)) as cluster:
                print(f"Flink's own page, while this runs: {cluster.web}", flush=True)
                command = [sys.executable, "-m", "pipelines.batch_complete", *given]
                status = run([*command, *cluster.flags()])
                for job in cluster.jobs():
                    tasks = job["tasks"]["total"]
                    print(
                        f"Flink ran {tasks} tasks in {job['duration'] / 1000:.0f} s: {job['state']}"
                    )
        print("Flink is stopped.")
        return status
    except Missing as missing:
        print(f"flink_demo: {missing}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
