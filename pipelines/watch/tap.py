"""The step of a job that hands its outcomes to the watch of this process."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from pipelines.watch.numbers import Numbers

_watched: list[Numbers] = []


def begin(numbers: Numbers) -> None:
    """Hand the outcomes of this process to `numbers`, until `end`."""
    _watched.append(numbers)


def end(numbers: Numbers) -> None:
    """Hand over no more."""
    _watched.remove(numbers)


def tap(outcome: Any) -> Any:
    """Hand `outcome` to the watch, and return it."""
    for numbers in _watched:
        numbers.take(outcome)
    return outcome


class Tap(beam.PTransform):  # type: ignore[misc]
    """Outcomes, unchanged."""

    def expand(self, outcomes: Any) -> Any:
        """Hand each outcome to the watch."""
        return outcomes | beam.Map(tap).with_output_types(outcomes.element_type)
