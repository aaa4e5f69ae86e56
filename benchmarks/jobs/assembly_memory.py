"""Measures the memory of AssembleCompletions in one large bundle.

    python -m benchmarks.jobs.assembly_memory [--answers 4000] [--deltas 200] [--interleaved]

A process of its own assembles answers whose deltas are about 400 bytes of JSON each. With
`--interleaved` all answers grow side by side, so that none is whole before the end.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions

from transforms import AssembleCompletions, Delta

_HEAD = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion.chunk",
    "created": 1741569952,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_06737a9306",
    "usage": None,
}
_CLOSING = '{"object":"chat.completion.chunk","choices":[]}'


def delta(answer: int, seq: int, count: int) -> Delta:
    """Return delta `seq` of an answer of `count` deltas, and of the final one."""
    id, submission = f"r{answer}", f"9f86d081884c7d65.0197a3c5e2b0.{answer:012x}"
    if seq == count:
        return Delta(id, 1, seq, "", None, _CLOSING, True, "{}", None, submission)
    choice = {"index": 0, "delta": {"content": f" word{seq}"}, "logprobs": None}
    chunk = orjson.dumps({**_HEAD, "choices": [{**choice, "finish_reason": None}]}).decode()
    return Delta(id, 1, seq, f" word{seq}", None, chunk, submission=submission)


def deltas(_: int, answers: int, count: int, interleaved: bool) -> Iterator[Delta]:
    """Yield the deltas of all answers: answer by answer, or side by side."""
    if interleaved:
        yield from (delta(n, seq, count) for seq in range(count + 1) for n in range(answers))
    else:
        yield from (delta(n, seq, count) for n in range(answers) for seq in range(count + 1))


def assemble(answers: int, count: int, interleaved: bool) -> None:
    """Assemble the answers in this process, and print what that took."""
    started = time.monotonic()
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        made = (
            p
            | beam.Create([0], reshuffle=False)
            | beam.FlatMap(deltas, answers, count, interleaved).with_output_types(Delta)
        )
        done = (made | AssembleCompletions()).completions
        done | beam.combiners.Count.Globally() | beam.Map(lambda n: print(n, "completions"))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{megabytes:.0f} MB at most, {time.monotonic() - started:.1f} s")


def main() -> None:
    """Measure in a process of its own: the peak of a process never goes down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=4000)
    parser.add_argument("--deltas", type=int, default=200)
    parser.add_argument("--interleaved", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    known_args = parser.parse_args()
    if known_args.here:
        assemble(known_args.answers, known_args.deltas, known_args.interleaved)
    else:
        module = [sys.executable, "-m", "benchmarks.jobs.assembly_memory"]
        subprocess.run([*module, "--here", *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
