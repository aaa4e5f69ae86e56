"""Completions, deltas and dead letters as rows of Beam's own transforms, behind a shuffle.

    python tests/runners/outcomes.py FOLDER BASE_URL [flags of Beam]

Each output goes to a Parquet file, through `Select` and through `GroupBy`. None of these steps
names a type: they have it from the output.
"""

from __future__ import annotations

import json
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from transforms import CompletePrompts, Prompt

SELECTED = {
    "completions": ("id", "text", "completion_tokens", "cost_usd"),
    "deltas": ("id", "seq", "text", "final", "outcome"),
    "dead_letters": ("id", "error_type", "status_code", "cost_usd"),
}
COUNTED = {"completions": "attempts", "deltas": "attempt", "dead_letters": "attempts"}


def line(row) -> str:
    return json.dumps(row._asdict())


def main() -> None:
    folder, base_url, *flags = sys.argv[1:]
    with beam.Pipeline(options=PipelineOptions(flags)) as p:
        texts = {"a": "one two", "b": "three", "c": "bad"}
        prompts = p | beam.Create([Prompt.of_text(text, id=id) for id, text in texts.items()])
        done = prompts | CompletePrompts("openai/m", base_url=base_url, emit_deltas=True)
        for name, columns in SELECTED.items():
            rows = done[name] | f"Shuffle {name}" >> beam.Reshuffle()
            rows | f"Parquet {name}" >> beam.io.WriteToParquet(f"{folder}/{name}", num_shards=1)
            by_id = beam.GroupBy("id").aggregate_field(COUNTED[name], sum, "total")
            for step, made in {
                "selected": rows | f"Select {name}" >> beam.Select(*columns),
                "grouped": rows | f"Group {name}" >> by_id,
            }.items():
                lines = made | f"Lines {step} {name}" >> beam.Map(line).with_output_types(str)
                path = f"{folder}/{step}-{name}"
                lines | f"Write {step} {name}" >> beam.io.WriteToText(path, num_shards=1)


if __name__ == "__main__":
    main()
