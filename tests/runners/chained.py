"""A generation and its judge in one stage; the judge's deltas are appended to a file as they come.

python tests/runners/chained.py OUT.txt BASE_URL [flags of Beam]
"""

from __future__ import annotations

import json
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from transforms import CompletePrompts, Prompt, StreamCompletions


def prompt(id: str, text: str) -> Prompt:
    return Prompt(id, json.dumps({"messages": [{"role": "user", "content": text}]}))


def append(delta, path: str) -> None:
    if delta.text:
        with open(path, "a") as file:
            file.write(f"{delta.id} {delta.text}\n")


def main() -> None:
    out, base_url, *flags = sys.argv[1:]
    rows = [prompt("slow", "slow"), prompt("quick", "quick")]
    with beam.Pipeline(options=PipelineOptions(flags)) as p:
        prompts = p | beam.Create(rows, reshuffle=False).with_output_types(Prompt)
        generated = prompts | "Generate" >> CompletePrompts("openai/gen", base_url=base_url)
        again = generated.completions | beam.Map(
            lambda row: prompt(row.id, row.text)
        ).with_output_types(Prompt)
        judged = again | "Judge" >> StreamCompletions("openai/judge", base_url=base_url)
        judged.deltas | "Append" >> beam.Map(append, out)


if __name__ == "__main__":
    main()
