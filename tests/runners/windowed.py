"""Prompts of two hours, completed and put together in windows; what came, and what counted.

python tests/runners/windowed.py OUT.json BASE_URL fixed|sliding [flags of Beam]
"""

from __future__ import annotations

import json
import sys

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue

from transforms import AssembleCompletions, Prompt, StreamCompletions

WINDOWS = {"fixed": FixedWindows(3600), "sliding": SlidingWindows(7200, 3600)}


def prompt(n: int) -> TimestampedValue:
    request = json.dumps({"messages": [{"role": "user", "content": f"one two {n}"}]})
    return TimestampedValue(Prompt(f"p{n}", request), 3600 * (n % 2) + n)


def line(completion, window=beam.DoFn.WindowParam) -> str:
    hour = int(window.start.seconds() // 3600)
    return json.dumps([completion.id, completion.text, hour])


def main() -> None:
    out, base_url, windows, *flags = sys.argv[1:]
    p = beam.Pipeline(options=PipelineOptions(flags))
    prompts = (
        p
        | beam.Create(range(10))
        | "Prompts" >> beam.Map(prompt).with_output_types(Prompt)
        | beam.WindowInto(WINDOWS[windows])
    )
    streamed = prompts | StreamCompletions("openai/m", base_url=base_url)
    whole = streamed.deltas | AssembleCompletions()
    lines = whole.completions | "Lines" >> beam.Map(line).with_output_types(str)
    together = lines | "Together" >> beam.WindowInto(beam.window.GlobalWindows())
    together | beam.io.WriteToText(out, num_shards=1)
    result = p.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_name("deltas"))["counters"]
    print("deltas counted:", sum(counter.result for counter in found))


if __name__ == "__main__":
    main()
