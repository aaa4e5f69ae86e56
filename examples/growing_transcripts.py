"""Prints a growing transcript of each completion, with a trigger of Beam.

    python examples/growing_transcripts.py --subscription projects/my-project/subscriptions/deltas

Reads the output of `--deltas_to pubsub:...` and prints a transcript again after every few deltas.
Beam combines the deltas, so the code here does not handle order, gaps or repeats. Needs the extra
`gcp`, and a runner for streams.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import apache_beam as beam
from apache_beam.io.gcp.pubsub import ReadFromPubSub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterWatermark
from apache_beam.transforms.window import FixedWindows

from transforms import AssembleCompletions, Delta
from transforms.serialization import to_delta


class Transcript(NamedTuple):
    """The text of a completion so far; `whole` once it is finished."""

    id: str
    text: str
    whole: bool


class GrowingTranscripts(beam.PTransform):
    """`Delta -> Transcript`: one after each `every` deltas of a completion, and one at the end."""

    def __init__(self, every: int = 10, window_seconds: float = 600, lateness: float = 60) -> None:
        super().__init__()
        self._every, self._seconds, self._lateness = every, window_seconds, lateness

    def expand(self, deltas: beam.PCollection[Delta]) -> beam.PCollection[Transcript]:
        """Emit the accumulated sum of the deltas at each firing of the trigger."""
        sums = (
            deltas
            | beam.WindowInto(
                FixedWindows(self._seconds),
                trigger=AfterWatermark(early=AfterCount(self._every), late=AfterCount(1)),
                accumulation_mode=AccumulationMode.ACCUMULATING,
                allowed_lateness=self._lateness,
            )
            | AssembleCompletions()
        )
        growing = sums.incomplete | "Growing" >> beam.Map(
            lambda row: Transcript(row.id, row.partial_text, False)
        )
        whole = sums.completions | "Whole" >> beam.Map(
            lambda row: Transcript(row.id, row.text, True)
        )
        return (growing, whole) | beam.Flatten()


def main() -> None:
    """Print transcripts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscription", required=True)
    parser.add_argument("--every", type=int, default=10)
    known_args, pipeline_args = parser.parse_known_args()
    options = PipelineOptions([*pipeline_args, "--streaming", "--save_main_session"])
    with beam.Pipeline(options=options) as p:
        deltas = p | ReadFromPubSub(subscription=known_args.subscription)
        deltas |= beam.Map(to_delta).with_output_types(Delta)
        deltas | GrowingTranscripts(known_args.every) | beam.Map(print)


if __name__ == "__main__":
    main()
