"""Measures the time from a command line to a job on Dataflow, against services on this machine.

    .venv-gcp/bin/python -m benchmarks.jobs.launch_time

Each launch is a process of its own, as a person or the launcher of a template starts it. The
bucket and Pub/Sub are emulated, and Dataflow is a fake. So the time is that of our program and of
Beam. It excludes the network to Google and the machine of a template's launcher.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks import ROOT

# These helpers of the tests import each other by their bare names.
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "dataflow"))

import pubsub_emulator
from fake_dataflow import FakeDataflow
from streaming_backends import PubSubPlace
from submitting import SECRET, Google, run, storage, submission, to

RUNS = 3


def from_checkout(google: Google, program: str, argv: list[str]) -> float:
    """Return the seconds until the job is submitted, including the upload of the code."""
    with FakeDataflow() as dataflow:
        started = time.monotonic()
        flags = [*argv, *to(dataflow), "--setup_file=./setup.py"]
        done = run(google, "submit", f"pipelines.{program}", *flags, secret=SECRET)
        assert done.returncode == 0, done.said
        return dataflow.submitted_at - started


def from_template(google: Google, program: str, argv: list[str]) -> float:
    """Return the seconds that main.py takes to write the job, as the launcher runs it."""
    main = ROOT / "templates" / program / "main.py"
    started = time.monotonic()
    flags = [*argv, "--template_location=gs://bucket/job", "--sdk_container_image=image:1"]
    done = run(google, "submit", str(main), *flags, secret=SECRET)
    assert done.returncode == 0, done.said
    return time.monotonic() - started


WAYS: dict[str, Callable[[Google, str, list[str]], float]] = {
    "a checkout, `--setup_file`": from_checkout,
    "the template": from_template,
}


def main() -> None:
    """Print a table."""
    with storage() as google, pubsub_emulator.running() as pubsub:
        os.environ["PUBSUB_EMULATOR_HOST"] = pubsub.address
        google.bucket.put("in/rows.jsonl", b'{"prompt": "one"}\n')
        prompts, deltas = PubSubPlace("prompts"), PubSubPlace("deltas")
        ours = {
            "batch_complete": {"input": "gs://bucket/in/*.jsonl", "output": "gs://bucket/out"},
            "stream_complete": {"source": prompts.source, "deltas_to": deltas.spec},
        }
        print("| program | from | seconds, the median of 3 |\n|---|---|---|")
        for program, flags in ours.items():
            for way, launch in WAYS.items():
                argv = submission("job", flags)
                seconds = [launch(google, program, argv) for _ in range(RUNS)]
                print(f"| {program} | {way} | {statistics.median(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    main()
