"""Compares RunInference with our handler and with Beam's vLLM handler, on one server.

    make bench-inference

Beam's handler runs its own code: a batch of requests with OpenAI's client, and the wait for all of
them. It only skips the start of a vLLM server, and uses the one of this benchmark. Each handler
runs in a process of its own. The time is that of the pipeline, after a small one. The cases:

sized:    both have 256 requests in flight; one in 40 is 2 s late. Beam's handler limits requests
          by its batches, so a batch has 256 rows.
even:     the same, and no request is late.
default:  both as they come, one in 40 is 2 s late. Beam's handler begins with a batch of one row,
          and grows it. Ours has 64 requests in flight. 300 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import ROOT, servers

ROWS = 2000
FEW_ROWS = 300  # where Beam's batches begin with one row, and take minutes for more
_WARM_UP = 8  # rows of a first pipeline, which imports and compiles
RESPONSE = {"chunks": 20, "gap_ms": 2, "first_ms": 300}
LATE = {"slow_every": 40, "slow_ms": 2000}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "sized": (LATE, {"max_in_flight": 256}, {"min_batch_size": 256, "max_batch_size": 256}),
    "even": ({}, {"max_in_flight": 256}, {"min_batch_size": 256, "max_batch_size": 256}),
    "default": (LATE, {}, {}),
}


def _ritellm(port: int, options: dict[str, Any]) -> tuple[Any, Callable[[str], Any]]:
    """Return our handler, and what makes an example of a text."""
    from transforms import RitellmModelHandler

    address = f"http://127.0.0.1:{port}/v1"
    return RitellmModelHandler("openai/gpt-4o-mini", base_url=address, **options), str


class Server:
    """What Beam's handler asks of a vLLM server that runs."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get_server_port(self) -> int:
        """Return the port of the server."""
        return self._port

    def check_connectivity(self) -> None:
        """Do nothing: the server of this benchmark does not fail."""


def _vllm(port: int, options: dict[str, Any]) -> tuple[Any, Callable[[str], Any]]:
    """Return Beam's handler, and what makes an example of a text."""
    from apache_beam.ml.inference.vllm_inference import OpenAIChatMessage, VLLMChatModelHandler

    class Handler(VLLMChatModelHandler):  # type: ignore[misc]
        def load_model(self) -> Server:
            return Server(port)

    return Handler("gpt-4o-mini", **options), lambda text: [OpenAIChatMessage("user", text)]


HANDLERS = {"ritellm": _ritellm, "vllm": _vllm}


def run(name: str, port: int, rows: int, options: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of a pipeline in this process, and its rows."""
    import apache_beam as beam
    from apache_beam.metrics import MetricsFilter
    from apache_beam.ml.inference.base import RunInference

    handler, example = HANDLERS[name](port, options)
    if rows > _WARM_UP:
        run(name, port, _WARM_UP, options)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    texts = [example(f"Say something, {row}.") for row in range(rows)]
    count = beam.metrics.Metrics.counter("benchmark", "rows")
    results = pipeline | beam.Create(texts, reshuffle=False) | RunInference(handler)
    results | beam.Map(lambda result: count.inc() or result.inference.choices[0].message.content)
    started = time.perf_counter()
    done = pipeline.run()
    done.wait_until_finish()
    seconds = time.perf_counter() - started
    counters = done.metrics().query(MetricsFilter().with_name("rows"))["counters"]
    return {"seconds": seconds, "rows": sum(each.committed for each in counters)}


def measure(case: str, python: str, rows: int = ROWS) -> dict[str, float]:
    """Return the rows a second of both handlers in `case`, and their ratio."""
    late, *options = CASES[case]
    found = {}
    for name, given in zip(HANDLERS, options, strict=True):
        with servers.serving("paced", **RESPONSE, **late) as server:
            found[name] = _child(python, name, server.port, rows, given)
    return {**found, "ratio": found["ritellm"] / found["vllm"]}


def _child(python: str, name: str, port: int, rows: int, options: dict[str, Any]) -> float:
    """Return the rows a second of a handler, in a process of its own."""
    work = json.dumps([name, port, rows, options])
    command = [python, "-m", "benchmarks.jobs.inference", "--run", work]
    environ = {**os.environ, "OPENAI_API_KEY": "x", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environ, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] == rows, f"{name} lost rows: {found}"
    return float(rows / found["seconds"])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="one that has Beam and openai")
    parser.add_argument("--rows", type=int, help=f"{ROWS}, or {FEW_ROWS} in the case `default`")
    parser.add_argument("--cases", nargs="*", default=[*CASES], choices=[*CASES])
    parser.add_argument("--run", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(*options.run)))
        return
    print("| case | ritellm, rows/s | Beam's vLLM handler, rows/s | ratio |\n|---|---|---|---|")
    for case in options.cases:
        rows = options.rows or (FEW_ROWS if case == "default" else ROWS)
        row = measure(case, options.python, rows)
        print(f"| {case} | {row['ritellm']:.0f} | {row['vllm']:.0f} | {row['ratio']:.1f} |")


if __name__ == "__main__":
    main()
