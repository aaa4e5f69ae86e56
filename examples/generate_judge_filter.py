"""Generates, judges and filters texts: two models in one pipeline, live, with one budget.

    python examples/generate_judge_filter.py --topics topics.txt --output out/kept.jsonl

Each line of the input is a topic. A first model writes about it, a second one grades the text in a
JSON of a fixed schema, and the texts with a good grade are written. Both models share the budget.
The texts and the grades are printed while they are written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions

from ritellm.terminal import clean_line
from transforms import Caps, CompletePrompts, Completion, DeadLetter, Delta, NewLedger, Prompt

SCHEMA = {
    "type": "object",
    "properties": {"grade": {"type": "integer"}, "reason": {"type": "string"}},
    "required": ["grade", "reason"],
    "additionalProperties": False,
}
VERDICT = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA},
}


class Judged(NamedTuple):
    """A text with its grade, from 1 to 5."""

    topic: str
    text: str
    grade: int
    reason: str


class Outputs(NamedTuple):
    """What `GenerateJudgeFilter` returns."""

    kept: beam.PCollection[Judged]
    failed: beam.PCollection[DeadLetter]  # of both models
    unreadable: beam.PCollection[Any]  # verdicts that do not follow the schema, with the error


def show(delta: Delta) -> None:
    """Print the text of `delta`; the ids of the judge end in "/judge"."""
    print(f"{clean_line(delta.id)}: {delta.text!r}", flush=True)


class GenerateJudgeFilter(beam.PTransform):
    """`topic -> Judged`: those that the judge grades with `least` or more.

    `writer` and `judge` are the arguments of `CompletePrompts` for each model. `show` gets each
    delta of both models as it arrives.
    """

    def __init__(
        self,
        writer: dict[str, Any],
        judge: dict[str, Any],
        least: int = 4,
        show: Callable[[Delta], object] = show,
    ) -> None:
        super().__init__()
        self._writer, self._judge, self._least, self._show = writer, judge, least, show

    def expand(self, topics: beam.PCollection[str]) -> Outputs:
        """Send each topic to the writer, and its text to the judge."""
        written = (
            topics
            | "AskForText" >> beam.Map(writing_prompt).with_output_types(Prompt)
            | "Write" >> CompletePrompts(emit_deltas=True, **self._writer)
        )
        graded = (
            written.completions
            | "AskForGrade" >> beam.Map(judging_prompt).with_output_types(Prompt)
            | "Judge" >> CompletePrompts(emit_deltas=True, response_format=VERDICT, **self._judge)
        )
        judged, unreadable = graded.completions | beam.Map(verdict).with_exception_handling()
        kept = judged | "Keep" >> beam.Filter(lambda row, least: row.grade >= least, self._least)
        failed = (written.dead_letters, graded.dead_letters) | "Failed" >> beam.Flatten()
        # A Flatten would hold the deltas back, so each of both outputs has a consumer of its own.
        written.deltas | "ShowText" >> beam.Map(self._show)
        graded.deltas | "ShowGrade" >> beam.Map(self._show)
        return Outputs(kept, failed, unreadable)


def writing_prompt(topic: str) -> Prompt:
    """Return the prompt of the writer."""
    ask = f"Write two sentences about {topic} for a curious child."
    body = {"messages": [{"role": "user", "content": ask}]}
    return Prompt(topic, orjson.dumps(body).decode())


def judging_prompt(text: Completion) -> Prompt:
    """Return the prompt of the judge; its outcome carries the topic and the text as `input`."""
    ask = f"Grade this text about {text.id} from 1 (wrong) to 5 (right and clear):\n\n{text.text}"
    body = {"messages": [{"role": "user", "content": ask}]}
    row = {"topic": text.id, "text": text.text}
    return Prompt(f"{text.id}/judge", orjson.dumps(body).decode(), orjson.dumps(row).decode())


def verdict(graded: Completion) -> Judged:
    """Return the text with its grade; raises ValueError if the judge did not follow the schema."""
    row, found = orjson.loads(graded.input or "{}"), orjson.loads(graded.text)
    if not isinstance(found, dict) or not isinstance(found.get("grade"), int):
        raise ValueError(f"a verdict must have a grade, got {graded.text!r}")
    return Judged(row["topic"], row["text"], found["grade"], str(found.get("reason")))


def main() -> None:
    """Run the chain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topics", required=True, help="a file with one topic a line")
    parser.add_argument("--output", required=True, help="where to write the texts, as JSON lines")
    parser.add_argument("--writer", default="openai/gpt-4o-mini")
    parser.add_argument("--judge", default="anthropic/claude-haiku-4-5")
    parser.add_argument("--least", type=int, default=4, help="the lowest grade to keep")
    parser.add_argument("--max_usd", type=float, default=1.0, help="what both models may cost")
    known_args, pipeline_args = parser.parse_known_args()
    shared = {"budget": NewLedger(Caps(usd=known_args.max_usd)), "max_tokens": 300}
    chain = GenerateJudgeFilter(
        {"model": known_args.writer, **shared},
        {"model": known_args.judge, **shared},
        known_args.least,
    )
    options = PipelineOptions(["--runner=FnApiRunner", *pipeline_args])
    with beam.Pipeline(options=options) as p:
        done = p | beam.io.ReadFromText(known_args.topics) | chain
        lines = done.kept | beam.Map(lambda row: orjson.dumps(row._asdict()).decode())
        lines | beam.io.WriteToText(known_args.output)
        done.failed | "PrintFailed" >> beam.Map(lambda row: print(row.id, row.message))
        done.unreadable | "PrintUnreadable" >> beam.Map(print)


if __name__ == "__main__":
    main()
