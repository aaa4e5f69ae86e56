"""A pipeline with committed streams: prompts, deltas behind a shuffle, completions by window.

    python tests/runners/committed.py FOLDER BASE_URL COUNT SECONDS DRAIN_SECONDS [flags of Beam]

The prompts come at once, and the input goes on without more of them for SECONDS. Windows have one
second, so an answer that is held ends after its window. What comes is appended to files in FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import FixedWindows
from apache_beam.utils.timestamp import Timestamp

from transforms import AssembleCompletions, Prompt, StreamCompletions


class Prompts(beam.DoFn):
    """Makes all prompts from the first tick."""

    def __init__(self, first: float, count: int) -> None:
        self._first, self._count = first, count

    def process(self, tick: float) -> Iterator[Prompt]:
        if abs(float(tick) - self._first) < 0.01:
            for n in range(self._count):
                body = {"messages": [{"role": "user", "content": f"one two three four {n}"}]}
                yield Prompt(f"p{n}", json.dumps(body))


class Append(beam.DoFn):
    """Appends to a file that all workers share, a line for each element."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element, window=beam.DoFn.WindowParam):
        row = {**element._asdict(), "end": float(window.end)}
        file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(file, json.dumps(row).encode() + b"\n")
        os.close(file)


def main() -> None:
    folder, base_url, count, seconds, drain, *flags = sys.argv[1:]
    p = beam.Pipeline(options=PipelineOptions(flags, streaming=True))
    first = Timestamp.now() + 1
    ticks = p | PeriodicImpulse(first, first + float(seconds), 0.5, apply_windowing=False)
    made = ticks | beam.ParDo(Prompts(float(first), int(count))).with_output_types(Prompt)
    prompts = made | beam.WindowInto(FixedWindows(1))
    options = {"base_url": base_url, "drain_seconds": float(drain), "max_in_flight": 100}
    streamed = prompts | StreamCompletions("openai/m", commit_every=0.2, shards=8, **options)
    whole = streamed.deltas | AssembleCompletions()
    outputs = {
        "deltas": streamed.deltas | beam.Reshuffle(),
        "dead": streamed.dead_letters,
        "incomplete": streamed.incomplete,
        "whole": whole.completions,
        "parts": whole.incomplete,
    }
    for name, output in outputs.items():
        output | f"Append {name}" >> beam.ParDo(Append(f"{folder}/{name}"))
    p.run().wait_until_finish()


if __name__ == "__main__":
    main()
