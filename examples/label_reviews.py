"""Labels reviews: each answer is checked against columns, and counted.

pip install 'ritellm-beam[answers,local]'
python examples/label_reviews.py                       # with the embedded model
python examples/label_reviews.py openai/gpt-4o-mini
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from ritellm import Answer
from transforms import CompletePrompts, Prompt

REVIEWS = (
    "It broke on the first day.",
    "I would buy it again at once.",
    "The box was smaller than in the picture, but it works.",
)
COLUMNS = 'label:enum(good,bad) "whether the customer is content", refund:bool'


def plausible(answer: dict[str, object]) -> str | None:
    """Return what is wrong with an answer that fits the columns; None if it is plausible."""
    if answer["label"] == "good" and answer["refund"]:
        return "a content customer wants no refund"
    return None


class LabelReviews(beam.PTransform):  # type: ignore[misc]
    """`str -> (label, review)`; reviews without a valid answer are left out."""

    def __init__(self, model: str, **params: object) -> None:
        super().__init__()
        self._model, self._params = model, params

    def expand(self, reviews: beam.PCollection[str]) -> beam.PCollection[tuple[str, str]]:
        """Ask for the columns of each review."""
        answer = Answer(COLUMNS, reasks=2, validator=plausible)
        prompts = reviews | "ToPrompts" >> beam.Map(
            lambda text: Prompt.of_text(f"Label this review: {text}", id=text)
        )
        done = prompts | CompletePrompts(self._model, answer=answer, **self._params)
        return done.completions | "ToPairs" >> beam.Map(lambda row: (row.answer["label"], row.id))


def main(argv: list[str]) -> None:
    """Print the reviews of each label."""
    model = argv[1] if len(argv) > 1 else "local/gemma-3-270m"
    with beam.Pipeline(options=PipelineOptions([])) as p:
        pairs = p | beam.Create(REVIEWS) | LabelReviews(model)
        pairs | beam.GroupByKey() | beam.MapTuple(show)


def show(label: str, reviews: Iterable[str]) -> None:
    """Print the reviews of one label."""
    print(label, *reviews, sep="\n  ")


if __name__ == "__main__":
    main(sys.argv)
